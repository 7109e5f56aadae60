"""The deep audit sees every change of content, by name, and nothing else."""

import itertools

import psycopg
import pytest
from isolation.changes import CHANGES, TEMPLATE
from isolation.changes.change import Hands

from freshpg.core.clock import Deadline
from freshpg.isolation.audit.deep import DeepState, Difference
from freshpg.isolation.audit.deep.catalogs import COLUMNS, Column, untranslated
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark

RICH = "rich_test_template_f1"
MARK = Mark("slot", "main", "f1", facts={"base": "rich_test"})
SAMPLE = 24
"""`make test` looks at one change of so many, `make test-all` at each."""


def sampled(changes):
    return [
        pytest.param(change, id=change.name, marks=[pytest.mark.slow] if at % SAMPLE else [])
        for at, change in enumerate(changes)
    ]


@pytest.fixture(scope="session")
def rich(server):
    """A sealed template with something of everything."""
    with Admin.connect(server) as admin:
        databases = Databases(admin)
        databases.create(RICH, MARK, owner="postgres", template="template0")
        inside = server.with_(dbname=RICH, user="postgres").keywords()
        with psycopg.connect(**inside) as connection:
            connection.execute(TEMPLATE)
        databases.seal(RICH)
    return RICH


@pytest.fixture(scope="session")
def numbers():
    return itertools.count(1)


@pytest.fixture
def clone(server, rich, numbers):
    """Make clones of the template, with a mark each; return the address of one as superuser."""
    made = []
    with Admin.connect(server) as admin:
        databases = Databases(admin)

        def make():
            made.append(f"rich_test_{next(numbers)}")
            databases.create(made[-1], MARK, owner="postgres", template=rich)
            return server.with_(dbname=made[-1])

        yield make
        for name in made:
            # A test may have taken the mark off.
            admin.execute(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def pristine(server, rich):
    """The state of the template."""
    with Admin.connect(server) as admin:
        databases = Databases(admin)
        databases.create("rich_test", MARK, owner="postgres", template=rich)
        try:
            with Admin.connect(server.with_(dbname="rich_test")) as inside:
                return DeepState.read(inside)
        finally:
            databases.drop("rich_test")


@pytest.fixture
def hands(clone):
    address = clone()
    hands = Hands(address.with_(user="postgres"), address)
    yield hands
    hands.let_go()


@pytest.fixture
def undone(hands):
    """Give the rest of the server back at the end."""
    statements = []
    yield statements
    hands.let_go()
    with psycopg.connect(**hands.superuser.keywords(), autocommit=True) as connection:
        for gid in connection.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            connection.execute(f"ROLLBACK PREPARED '{gid[0]}'")
        for statement in statements:
            connection.execute(statement)


def read(address, **options):
    with Admin.connect(address) as admin:
        end = Deadline(20.0)
        # A backend whose client is gone still holds what it held for a moment.
        while admin.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ):
            assert not end.expired
        return DeepState.read(admin, **options)


def skip_without(needs, since, address):
    with Admin.connect(address) as admin:
        if admin.server_version // 10000 < since:
            pytest.skip(f"PostgreSQL {since} on")
        for need in needs & {"hstore"}:
            if not admin.value("SELECT 1 FROM pg_available_extensions WHERE name = %s", (need,)):
                pytest.skip(f"no {need} here")
        if "logical" in needs and admin.value("SHOW wal_level") != "logical":
            pytest.skip("the server does not replicate logically")


def carried_out(change, hands, undone):
    skip_without(change.needs, change.since, hands.superuser)
    undone += change.undo
    change.carry_out(hands)
    with Admin.connect(hands.superuser) as admin:
        # A query that runs would outlive its client.
        admin.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    hands.let_go()


@pytest.mark.parametrize("change", sampled([one for one in CHANGES if one.content]))
def test_the_deep_audit_sees(change, hands, undone, pristine):
    carried_out(change, hands, undone)
    assert pristine.diff(read(hands.superuser))


@pytest.mark.parametrize("change", sampled([one for one in CHANGES if not one.content]))
def test_the_deep_audit_is_not_moved_by(change, hands, undone, pristine):
    carried_out(change, hands, undone)
    assert pristine.diff(read(hands.superuser)) == ()


def test_the_catalogue_has_more_than_eighty_changes_under_names_of_their_own():
    assert len({change.name for change in CHANGES}) == len(CHANGES) > 80


def test_two_clones_of_one_template_are_equal_down_to_the_last_hash(clone):
    assert read(clone()).diff(read(clone())) == ()


def test_no_column_of_any_catalog_is_compared_by_a_number_of_the_server(admin):
    assert untranslated([Column(*row) for row in admin.rows(COLUMNS)]) == []


def test_differences_say_what_changed_in_words(hands, pristine):
    connection = hands.open()
    connection.execute("INSERT INTO basket VALUES (1, 'x')")
    connection.execute("ALTER TABLE extra.thing ALTER label SET NOT NULL")
    connection.execute("CREATE TABLE debris (id serial PRIMARY KEY, t text DEFAULT 'x')")
    connection.execute("DROP VIEW happy_customer")
    connection.execute("SELECT nextval('ticket')")
    hands.let_go()
    found = pristine.diff(read(hands.superuser))
    words = [str(one) for one in found if one.kind != "table constraint"]
    assert words == [
        "column extra.thing.label altered: attnotnull",
        "rows public.basket altered: rows 0 → 1",
        "sequence value public.ticket altered: last_value 3 → 4",
        "table public.debris created",
        "view public.happy_customer dropped",
    ]


def test_what_is_made_anew_under_the_same_name_is_the_same(clone):
    one, other = clone(), clone()
    for address in (one, other, other):
        with psycopg.connect(**address.with_(user="postgres").keywords()) as connection:
            connection.execute("DROP TABLE IF EXISTS passing")
            connection.execute("CREATE TABLE passing (id serial PRIMARY KEY, mood mood, t text)")
            connection.execute("CREATE INDEX ON passing (lower(t)) WHERE id > 3")
            connection.execute("INSERT INTO passing (t) VALUES ('a'), (NULL)")
    assert read(one).diff(read(other)) == ()


def test_a_rows_order_and_place_do_not_count_but_twins_do(hands, pristine):
    connection = hands.open()
    connection.execute("DELETE FROM without_key")
    connection.execute("INSERT INTO without_key VALUES (2, NULL), (1, 'twin'), (1, 'twin')")
    assert pristine.diff(read_beside(hands)) == ()
    connection.execute(
        "UPDATE without_key SET a = 2, b = NULL WHERE ctid = (SELECT max(ctid) FROM without_key)"
    )
    (found,) = pristine.diff(read_beside(hands))
    assert (found.kind, found.name, found.change) == ("rows", "public.without_key", "altered")


def read_beside(hands):
    with Admin.connect(hands.superuser) as admin:
        return DeepState.read(admin)


def test_settings_of_the_reader_do_not_count(hands, pristine):
    for statement in (
        "SET datestyle = 'German'", "SET search_path = public", "SET extra_float_digits = -5",
        "SET bytea_output = escape", "SET quote_all_identifiers = on", "SET timezone = 'Asia/Tokyo'",
    ):  # fmt: skip
        with Admin.connect(hands.superuser) as admin:
            admin.execute(statement)
            assert pristine.diff(DeepState.read(admin)) == ()


def test_reading_leaves_the_session_as_it_was(hands):
    with Admin.connect(hands.superuser) as admin:
        before = admin.rows("SELECT name, setting FROM pg_settings")
        DeepState.read(admin)
        assert admin.rows("SELECT name, setting FROM pg_settings") == before
        admin.execute("CREATE TABLE still_writes (id int)")


def test_tables_and_columns_may_be_called_anything(clone):
    address = clone()
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "a ""b"" %s"')
        connection.execute('CREATE TABLE "a ""b"" %s"."x" (x int, "t.*" text, "%(x)s" int)')
        connection.execute('CREATE SEQUENCE "a ""b"" %s"."S q"')
    before = read(address)
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute(b'INSERT INTO "a ""b"" %s"."x" VALUES (1)')
        connection.execute(b"""SELECT nextval('"a ""b"" %s"."S q"')""")
    assert [(one.kind, one.name) for one in before.diff(read(address))] == [
        ("rows", '"a ""b"" %s".x'),
        ("sequence value", '"a ""b"" %s"."S q"'),
    ]


def test_a_databases_own_casts_and_operators_are_not_asked(clone):
    address = clone()
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION lie(basket) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'same'$$"
        )
        connection.execute("CREATE CAST (basket AS text) WITH FUNCTION lie(basket)")
    before = read(address)
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute("INSERT INTO basket VALUES (1, 'a')")
    middle = read(address)
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute("UPDATE basket SET label = 'b'")
    assert before.diff(middle)
    assert middle.diff(read(address))


def test_every_row_of_another_role_is_read_and_what_is_not_is_named(hands):
    with psycopg.connect(**hands.superuser.keywords(), autocommit=True) as connection:
        connection.execute("CREATE TABLE closed (id int)")
        connection.execute("CREATE TABLE filtered (id int)")
        connection.execute("GRANT SELECT ON filtered TO postgres")
        connection.execute("ALTER TABLE filtered ENABLE ROW LEVEL SECURITY")
        connection.execute("SELECT lo_create(77)")
    state = read(hands.user)
    assert {"public.closed", "public.filtered", "pg_authid", "pg_largeobject"} <= set(state.unread)
    assert ("rows", "public.customer") in state.entries
    assert ("rows", "public.closed") not in state.entries
    assert ("large object data", "4242") in state.entries
    assert ("large object data", "77") not in state.entries


@pytest.mark.parametrize(
    "statement, expected",
    [
        ("UPDATE customer SET notes = 'x' WHERE id = 1", ("rows", "public.customer")),
        ("SELECT lo_put(4242, 0, 'A')", ("large object data", "4242")),
        ("ALTER FUNCTION twice(int) STRICT", ("function", "public.twice(integer)")),
        ("SELECT nextval('ticket')", ("sequence value", "public.ticket")),
    ],
)
def test_a_plain_role_sees_what_it_may_read(hands, statement, expected):
    before = read(hands.user)
    hands.open().execute(statement)
    hands.let_go()
    assert expected in {(one.kind, one.name) for one in before.diff(read(hands.user))}


def test_what_the_server_has_in_common_can_be_left_out(hands, undone):
    before = read(hands.superuser, shared=False)
    hands.open(superuser=True).execute("CREATE ROLE passer_by")
    undone.append("DROP ROLE passer_by")
    hands.let_go()
    assert before.diff(read(hands.superuser, shared=False)) == ()
    assert Difference("role", "passer_by", "created") in before.diff(read(hands.superuser))


def test_a_comment_that_only_looks_like_our_mark_is_a_change(hands, pristine):
    copied = MARK.tied_to(1, "2").to_comment()
    name = hands.superuser.dbname
    hands.open().execute(f"COMMENT ON DATABASE {name} IS '{copied}'")
    hands.let_go()
    assert [one.kind for one in pristine.diff(read(hands.superuser))] == ["comment"]


def test_a_virtual_column_that_cannot_be_computed_does_not_stop_the_audit(clone):
    address = clone()
    skip_without(set(), 18, address)
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute("CREATE TABLE broken (a int, b int GENERATED ALWAYS AS (1 / a) VIRTUAL)")
        connection.execute("INSERT INTO broken VALUES (0)")
    assert read(address).entries["rows", "public.broken"].values[0] == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(clone):
    import tracemalloc

    address = clone()
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        read(address)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        with psycopg.connect(**address.keywords(), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO without_key SELECT n, repeat('x', 100) FROM generate_series(1, 200000) n"
            )
    assert peaks[1] < peaks[0] + 100_000
