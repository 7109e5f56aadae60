import threading
import urllib.parse
import urllib.request
from unittest import expectedFailure, skip

from books.models import Author, Book
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.test import LiveServerTestCase, TransactionTestCase
from journal.models import Entry

SEEDED = ["Ada", "Bob"]


def names():
    return list(Author.objects.order_by("id").values_list("name", flat=True))


def in_thread(function):
    seen = []

    def run():
        try:
            seen.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen[0]


class CommitTests(TransactionTestCase):
    """Each of the first four would disturb the others, whatever their order."""

    def begin(self):
        self.assertEqual(names(), SEEDED)
        self.assertEqual(Author.objects.create(name="Cyd").pk, 3)

    def test_added_rows(self):
        self.begin()

    def test_deleted_rows(self):
        self.begin()
        Author.objects.all().delete()

    def test_changed_rows(self):
        self.begin()
        Author.objects.update(likes=5)
        Author.objects.filter(name="Ada").update(name="Eve")

    def test_changed_schema(self):
        self.begin()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE books_author ADD COLUMN extra int")
            cursor.execute("DROP TABLE books_book CASCADE")

    def test_open_transaction(self):
        self.begin()
        transaction.set_autocommit(False)
        Author.objects.create(name="never committed")

    def test_connection_left_open_by_a_thread(self):
        self.begin()
        self.enterContext(open_in_thread(lambda: Author.objects.update(likes=1)))

    def test_flush_by_hand_empties_and_the_next_test_has_all(self):
        from django.core.management import call_command

        self.begin()
        call_command("flush", interactive=False, verbosity=0)
        self.assertEqual(names(), [])

    def test_a_commit_is_seen_by_another_thread(self):
        self.begin()
        self.assertEqual(in_thread(names), [*SEEDED, "Cyd"])

    def test_on_commit_runs(self):
        done = []
        with transaction.atomic():
            Author.objects.create(name="Cyd")
            transaction.on_commit(lambda: done.append(1))
            self.assertEqual(done, [])
        self.assertEqual(done, [1])

    def test_content_types_and_permissions_are_there(self):
        self.assertTrue(ContentType.objects.filter(app_label="books", model="author").exists())
        self.assertTrue(Permission.objects.filter(codename="add_author").exists())

    def test_select_for_update_locks_against_another_thread(self):
        def lock():
            try:
                with transaction.atomic():
                    Author.objects.select_for_update(nowait=True).get(name="Ada")
            except OperationalError:
                return "locked"
            return "free"

        with transaction.atomic():
            Author.objects.select_for_update().get(name="Ada")
            self.assertEqual(in_thread(lock), "locked")
        self.assertEqual(in_thread(lock), "free")

    def test_constraints_are_checked(self):
        with self.assertRaises(IntegrityError):
            Book.objects.create(title="", author_id=1)
        with self.assertRaises(IntegrityError), transaction.atomic():
            Book.objects.create(title="Orphan", author_id=999)

    async def test_async(self):
        await Author.objects.acreate(name="Async")
        self.assertEqual(
            [author.name async for author in Author.objects.order_by("id")][2:], ["Async"]
        )

    def test_tests_are_no_superuser(self):
        with connection.cursor() as cursor:
            cursor.execute("SHOW is_superuser")
            self.assertEqual(cursor.fetchone(), ("off",))
            cursor.execute("SELECT current_database(), current_setting('application_name')")
            name, application = cursor.fetchone()
        self.assertRegex(name, r"^library_test(_\d+)?$")
        self.assertEqual(application, "library")

    def test_extension_of_a_migration(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT similarity('Ada', 'Ada')")
            self.assertEqual(cursor.fetchone(), (1.0,))

    def test_custom_user(self):
        user = get_user_model().objects.create_superuser("root", password="x", nickname="boss")
        self.assertEqual((user.pk, user.nickname), (1, "boss"))
        self.assertTrue(self.client.login(username="root", password="x"))

    def test_an_alias_that_was_not_asked_for_is_refused(self):
        with self.assertRaisesRegex(AssertionError, "not allowed"):
            Entry.objects.count()

    @skip("on purpose")
    def test_skipped(self):
        raise AssertionError

    @expectedFailure
    def test_expected_to_fail(self):
        Author.objects.create(name="Cyd")
        self.fail("on purpose")


class open_in_thread:  # noqa: N801
    def __init__(self, function):
        self.function = function

    def __enter__(self):
        self.ready, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.ready.wait(10)

    def run(self):
        self.function()
        self.ready.set()
        self.end.wait(30)
        connections.close_all()

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


class SessionTests(TransactionTestCase):
    """The session goes on from test to test, and none sees what another one set in it."""

    pids = set()

    def begin(self):
        if connection.pool:
            self.skipTest("a pool gives sessions on as they are, Django's as well")
        with connection.cursor() as cursor:
            cursor.execute("SHOW work_mem")
            self.assertNotEqual(cursor.fetchone(), ("7MB",))
            cursor.execute("SHOW timezone")
            self.assertEqual(cursor.fetchone(), ("UTC",))
            cursor.execute("SELECT pg_backend_pid(), to_regclass('scratch')")
            pid, scratch = cursor.fetchone()
            self.assertIsNone(scratch)
            cursor.execute("SET work_mem = '7MB'; SET timezone = 'Asia/Tokyo'; LISTEN news")
        self.pids.add(pid)
        self.assertEqual(len(self.pids), 1)

    def test_one(self):
        self.begin()

    def test_two(self):
        self.begin()


class SerializedTests(TransactionTestCase):
    serialized_rollback = True
    reset_sequences = True
    fixtures = ["shelf.json"]

    def begin(self):
        self.assertEqual(names(), [*SEEDED, "Cyd"])
        self.assertEqual(Book.objects.get().title, "Fixed")
        self.assertEqual(get_user_model().objects.create(username="first").pk, 1)

    def test_one(self):
        self.begin()

    def test_two(self):
        self.begin()


class SeveralTests(TransactionTestCase):
    databases = {"default", "journal"}

    def begin(self):
        self.assertEqual((Entry.objects.count(), Author.objects.count()), (0, 2))
        Author.objects.create(name="Cyd")
        self.assertEqual(Entry.objects.create(text="hello").pk, 1)

    def test_one(self):
        self.begin()

    def test_two(self):
        self.begin()

    def test_each_has_its_own_tables(self):
        with connections["journal"].cursor() as cursor:
            cursor.execute("SELECT to_regclass('books_author'), current_database()")
            missing, name = cursor.fetchone()
        self.assertIsNone(missing)
        self.assertRegex(name, r"^journal_test(_\d+)?$")


class MirrorTests(TransactionTestCase):
    databases = {"default", "replica"}

    def test_what_is_written_is_read_from_the_mirror(self):
        Author.objects.create(name="Cyd")
        self.assertEqual(Author.objects.using("replica").count(), 3)

    def test_again(self):
        self.test_what_is_written_is_read_from_the_mirror()


class LiveTests(LiveServerTestCase):
    def ask(self, **query):
        words = urllib.parse.urlencode(query)
        with urllib.request.urlopen(f"{self.live_server_url}/authors/?{words}") as answer:
            return answer.read().decode()

    def test_one(self):
        self.assertEqual(self.ask(add="Cyd"), '["Ada", "Bob", "Cyd"]')
        self.assertEqual(Author.objects.get(name="Cyd").pk, 3)

    def test_two(self):
        self.test_one()
