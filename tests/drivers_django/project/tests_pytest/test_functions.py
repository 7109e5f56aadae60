from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from books.models import Author
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from journal.models import Entry

from freshpg.drivers.django import leased_database

SEEDED = ["Ada", "Bob"]
TWICE = pytest.mark.parametrize("turn", [1, 2])


def names():
    return list(Author.objects.order_by("id").values_list("name", flat=True))


@TWICE
def test_db_rolls_back(db, turn):
    assert names() == SEEDED
    Author.objects.create(name="Cyd")
    assert connection.in_atomic_block


@TWICE
def test_transactional_db_commits(transactional_db, turn):
    assert names() == SEEDED
    done = []
    with transaction.atomic():
        assert Author.objects.create(name="Cyd").pk == 3
        transaction.on_commit(lambda: done.append(1))
    assert done == [1]
    with psycopg.connect(leased_database().url) as beside:
        assert beside.execute("SELECT count(*) FROM books_author").fetchone() == (3,)


@TWICE
@pytest.mark.django_db(transaction=True)
def test_a_changed_schema_is_put_back(turn):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE books_author ADD COLUMN extra int")


@pytest.fixture(scope="module")
def clerk():
    """A thread that keeps its connection from test to test."""
    with ThreadPoolExecutor(1) as executor:
        yield lambda function: executor.submit(function).result(timeout=30)
        executor.submit(connections.close_all).result(timeout=30)


@TWICE
@pytest.mark.parametrize("statement", ["SELECT 1", "ALTER TABLE books_author ADD COLUMN extra int"])
def test_a_thread_goes_on_with_its_connection(clerk, transactional_db, turn, statement):
    assert clerk(names) == SEEDED
    clerk(lambda: Author.objects.create(name="Cyd"))
    with connection.cursor() as cursor:
        cursor.execute(statement)


@TWICE
@pytest.mark.django_db(transaction=True, reset_sequences=True, serialized_rollback=True)
def test_options_of_the_marker_are_needless(turn):
    assert names() == SEEDED
    assert Author.objects.create(name="Cyd").pk == 3


@TWICE
def test_reset_sequences(django_db_reset_sequences, turn):
    assert get_user_model().objects.create(username="first").pk == 1


@TWICE
def test_serialized_rollback(transactional_db, django_db_serialized_rollback, turn):
    assert names() == SEEDED
    Author.objects.all().delete()


@TWICE
@pytest.mark.django_db(transaction=True, databases=["default", "journal", "replica"])
def test_several_databases(turn):
    assert Entry.objects.count() == 0
    assert Entry.objects.create(text="hello").pk == 1
    Author.objects.create(name="Cyd")
    assert Author.objects.using("replica").count() == 3
    assert leased_database("replica") is leased_database()
    assert leased_database("journal").blueprint == "journal"


@TWICE
def test_live_server(live_server, turn):
    from urllib.request import urlopen

    with urlopen(f"{live_server.url}/authors/?add=Cyd") as answer:
        assert answer.read().decode() == '["Ada", "Bob", "Cyd"]'


@TWICE
def test_admin(admin_user, turn):
    assert admin_user.is_superuser
    with connection.cursor() as cursor:
        cursor.execute("SHOW is_superuser")
        assert cursor.fetchone() == ("off",)


@TWICE
@pytest.mark.django_db(transaction=True)
async def test_async(turn):
    await Author.objects.acreate(name="Cyd")
    assert await Author.objects.acount() == 3


@pytest.fixture
def asked_late(request):
    request.getfixturevalue("db")


@TWICE
def test_a_fixture_asked_for_at_run_time(asked_late, turn):
    assert names() == SEEDED
    Author.objects.create(name="Cyd")


def test_without_a_mark_the_database_is_blocked():
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        connections["default"].ensure_connection()


def test_fixtures_of_freshpg_work_beside(pg, transactional_db):
    Author.objects.create(name="Cyd")
    with pg.connect() as beside:
        assert beside.execute("SELECT count(*) FROM books_author").fetchone() == (2,)
    assert pg.name != leased_database().name
