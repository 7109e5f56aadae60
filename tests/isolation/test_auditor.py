"""What an audit asks, what a repair undoes, and when neither is enough."""

import threading
from contextlib import suppress

import psycopg
import pytest
from postgres_server import running_server
from psycopg import sql

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import NotOurs
from freshpg.core.events import ResetConflict
from freshpg.isolation.audit import auditor as auditors
from freshpg.isolation.audit import facts
from freshpg.isolation.audit.inside import Inside
from freshpg.isolation.audit.watch import Watch
from freshpg.isolation.cloning import CloneSource
from freshpg.isolation.repair import refill
from freshpg.isolation.stock import CloneStock
from freshpg.leases.slots import Slot
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark

TEMPLATE = "audit_test_template_f1"
SCHEMA = """
CREATE TABLE customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text,
                       loud text GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO customer (name) VALUES ('Ada'), ('Grace');
CREATE TABLE cart (id serial PRIMARY KEY, customer int REFERENCES customer, item text);
CREATE TABLE hen (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE;
CREATE TABLE keyless (item text);
INSERT INTO keyless VALUES ('twice'), ('twice');
CREATE UNLOGGED TABLE scratch (item text);
CREATE UNLOGGED SEQUENCE ticket;
CREATE SEQUENCE bulk CACHE 20;
CREATE TABLE armed (id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON armed FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE armed ENABLE ALWAYS TRIGGER note;
CREATE MATERIALIZED VIEW names AS SELECT name FROM customer;
"""


@pytest.fixture(scope="module")
def place():
    """A server whose files can be read, as those of our own can: its address and its data directory."""
    with running_server(max_prepared_transactions=5) as address:
        with Admin.connect(address) as admin:
            databases = Databases(admin)
            databases.create(
                TEMPLATE, Mark("template", "main", "f1"), owner="postgres", template="template0"
            )
            inside = address.with_(dbname=TEMPLATE, user="postgres")
            with psycopg.connect(**inside.keywords()) as connection:
                connection.execute(SCHEMA)
            with psycopg.connect(**inside.keywords(), autocommit=True) as connection:
                connection.execute("VACUUM (FREEZE, ANALYZE)")
            databases.seal(TEMPLATE)
            data = admin.value("SHOW data_directory")
        yield address, data


@pytest.fixture(params=["wal", "asked"])
def how(request):
    return request.param


@pytest.fixture
def watched(place, how, tmp_path):
    """Hand out a watched database; ``asked`` looks without WAL."""
    address, data = place
    source = CloneSource(TEMPLATE, "audit_test", "main", "f1", "postgres")
    stock = CloneStock(
        lambda: Databases(Admin.connect(address)),
        source,
        [Slot("audit_test", number) for number in (1, 2, 3)],
        target=1,
    )
    stock.start()
    watch = Watch(stock, address, data=type(tmp_path)(data), clock=SYSTEM_CLOCK)
    if how == "asked":
        watch._wal = lambda _inside: None
    taken = stock.take(30.0)
    watch.begin(taken.name, taken.baseline)
    made = Watched(watch, taken.name, address)
    yield made
    made.close()
    watch.end()
    stock.stop("nothing")


class Watched:
    def __init__(self, watch, name, address):
        self.watch, self.name, self.address = watch, name, address
        self._open = []

    def connect(self, user="postgres"):
        address = self.address.with_(dbname=self.name, user=user)
        self._open.append(psycopg.connect(**address.keywords(), autocommit=True))
        return self._open[-1]

    def audit(self):
        return self.watch.audit(self.name)

    def settle(self):
        return self.watch.settle(self.name)

    def is_proven(self):
        """Whether even the deep comparison finds nothing."""
        return not self.watch.prove(self.name)

    def close(self):
        for connection in self._open:
            connection.close()


def lines(residue):
    return [*map(str, residue.tables), *map(str, residue.sequences)]


CHANGES = {
    "an insert": (
        ["INSERT INTO cart (item) VALUES ('x')"],
        ["public.cart +1", "public.cart_id_seq 1 (was unused)"],
    ),
    "an update of a seed": (
        ["UPDATE customer SET name = 'x' WHERE id = 1"],
        ["public.customer ~1"],
    ),
    "an update put back": (
        ["UPDATE customer SET name = 'x'", "UPDATE customer SET name = 'Ada' WHERE id = 1"],
        ["public.customer ~2"],
    ),
    "a delete": (["DELETE FROM customer WHERE id = 2"], ["public.customer -1"]),
    "the same count, other rows": (
        ["DELETE FROM keyless", "INSERT INTO keyless VALUES ('twice'), ('twice')"],
        ["public.keyless ~2"],
    ),
    "a rolled back insert": (
        ["BEGIN", "INSERT INTO cart (item) VALUES ('x')", "ROLLBACK"],
        ["public.cart_id_seq 1 (was unused)"],
    ),
    "an unlogged row": (["INSERT INTO scratch VALUES ('x')"], ["public.scratch +1"]),
    "an unlogged sequence": (["SELECT nextval('ticket')"], ["public.ticket 1 (was unused)"]),
    "a truncation": (["TRUNCATE customer CASCADE"], ["public.customer -2"]),
    "rows that refer to each other": (
        [
            "INSERT INTO hen VALUES (1, NULL)",
            "INSERT INTO egg VALUES (1, 1)",
            "UPDATE hen SET egg = 1",
        ],
        ["public.hen +1", "public.egg +1"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_described_undone_and_proven_undone(watched, change):
    statements, expected = CHANGES[change]
    connection = watched.connect()
    for statement in statements:
        connection.execute(statement)
    assert lines(watched.audit()) == expected
    settled = watched.settle()
    assert (lines(settled.residue), settled.clean) == (expected, True)
    assert watched.is_proven()
    # The application's connection lives on, and numbers begin where the template has them.
    connection.execute("INSERT INTO cart (item) VALUES ('x')")
    assert connection.execute("SELECT max(id) FROM cart").fetchone() == (1,)
    assert watched.settle().clean
    assert not watched.audit()


@pytest.mark.parametrize("how", ["wal"], indirect=True)
def test_an_audit_takes_two_round_trips_at_most(watched, monkeypatch):
    watched.connect().execute("INSERT INTO cart (item) VALUES ('x')")
    watched.audit()
    sent = []
    send = Inside.send
    monkeypatch.setattr(Inside, "send", lambda self, text: (sent.append(text), send(self, text)))
    assert watched.audit()
    # A question that this session never asked is prepared first: the server may have tidied a shared catalog meanwhile.
    assert len([text for text in sent if not text.startswith("PREPARE")]) == 2


def test_a_deadlock_with_the_application_is_told_of_and_the_reset_tried_again(watched, monkeypatch):
    watched.connect().execute("INSERT INTO cart (item) VALUES ('x')")
    rival, send, met = watched.connect("freshpg_admin"), Inside.send, []

    def meet(inside, text):
        if text.startswith("BEGIN") and not met:
            met.append(inside)
            rival.execute("SET deadlock_timeout = '1min'")
            rival.execute("BEGIN")
            rival.execute("LOCK TABLE cart")
            inside.run("SET deadlock_timeout = '10ms'")
            inside.run("START TRANSACTION; LOCK TABLE customer")
            rival.pgconn.send_query(b"LOCK TABLE customer")
            rival.pgconn.flush()
            text = text.replace("BEGIN", "LOCK TABLE cart", 1)
        send(inside, text)

    monkeypatch.setattr(Inside, "send", meet)
    told = []
    watched.watch._events.subscribe(told.append)
    settled = watched.settle()
    assert settled.clean
    assert watched.is_proven()
    (conflict,) = told
    assert isinstance(conflict, ResetConflict)
    assert conflict.database == watched.name
    assert f"other side: pid {rival.info.backend_pid}" in conflict.seen
    assert "LOCK TABLE customer" in conflict.seen
    assert "our side: a control statement failed" in conflict.seen


def test_foreign_keys_that_fire_do_not_hinder(watched, monkeypatch):
    monkeypatch.setattr(Inside, "_replay", lambda _self: False)
    connection = watched.connect()
    for statement in CHANGES["rows that refer to each other"][0]:
        connection.execute(statement)
    assert watched.settle().clean
    assert watched.is_proven()


@pytest.mark.parametrize(
    "statement, object_",
    [
        ("CREATE TABLE debris (id int)", "created table public.debris"),
        ("DROP TABLE scratch", "dropped table public.scratch"),
        ("ALTER TABLE cart ADD COLUMN more int", "altered table public.cart"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", "created function public.f()"),
    ],
)
def test_a_changed_schema_is_named_and_left_to_be_replaced(watched, statement, object_):
    watched.connect().execute(statement)
    assert object_ in map(str, watched.audit().objects)
    settled = watched.settle()
    assert not settled.clean
    assert object_ in map(str, settled.residue.objects)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO armed VALUES (1)",
        "REFRESH MATERIALIZED VIEW names",
        "SELECT lo_create(0)",
        "ALTER DATABASE {name} SET work_mem = '1MB'",
        "GRANT SELECT ON cart TO PUBLIC",
        "COMMENT ON TABLE cart IS 'x'",
    ],
)
def test_what_cannot_be_undone_in_place_is_never_called_clean(watched, statement):
    watched.connect().execute(statement.format(name=watched.name))
    settled = watched.settle()
    assert settled.residue
    assert not settled.clean


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM (FULL) cart",
        "ANALYZE",
        "VACUUM",
        "SELECT * FROM customer FOR UPDATE",
        "NOTIFY x",
        "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
    ],
)
def test_what_changes_no_content_is_no_residue(watched, statement):
    watched.connect().execute(statement)
    settled = watched.settle()
    assert (bool(settled.residue), settled.clean) == (False, True)
    assert not watched.audit()


def test_a_session_with_an_open_transaction_is_named_and_ended(watched):
    busy = watched.connect()
    busy.execute("BEGIN")
    busy.execute("INSERT INTO cart (item) VALUES ('x')")
    (found,) = watched.audit().sessions
    assert (found.pid, found.state) == (busy.info.backend_pid, "idle in transaction")
    settled = watched.settle()
    assert settled.clean
    assert [one.pid for one in settled.residue.sessions] == [busy.info.backend_pid]
    with pytest.raises(psycopg.OperationalError):
        busy.execute("SELECT 1")
    assert watched.is_proven()


def test_an_advisory_lock_of_an_idle_session_is_named_and_given_up(watched):
    watched.connect().execute("SELECT pg_advisory_lock(1)")
    (found,) = watched.audit().sessions
    assert (found.state, found.locks) == ("idle", 1)
    assert watched.settle().clean
    watched.connect().execute("SELECT pg_advisory_lock(1)")


def test_a_prepared_transaction_is_named_and_rolled_back(watched):
    connection = watched.connect()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO cart (item) VALUES ('x')")
    connection.execute("PREPARE TRANSACTION 'left'")
    assert watched.audit().prepared == ("left",)
    assert watched.settle().clean
    assert watched.is_proven()


def test_values_in_the_cache_of_a_living_session_are_not_called_clean(watched):
    connection = watched.connect()
    connection.execute("SELECT nextval('bulk')")
    assert not watched.settle().clean


def test_more_rows_than_are_worth_refilling_are_not_called_clean(watched, monkeypatch):
    monkeypatch.setattr(refill, "MOST_ROWS", 1)
    watched.connect().execute("DELETE FROM customer WHERE id = 1")
    settled = watched.settle()
    assert not settled.clean
    assert lines(settled.residue) == ["public.customer -1"]


@pytest.mark.parametrize(
    "statement, line",
    [
        ("DELETE FROM customer WHERE id = 1", "public.customer -1"),
        ("UPDATE customer SET name = 'x' WHERE id = 1", "public.customer ~1"),
        ("INSERT INTO customer VALUES (DEFAULT, 'x')", "public.customer +1"),
    ],
)
def test_what_was_written_to_a_large_table_is_found_and_left_to_be_replaced(
    watched, monkeypatch, statement, line
):
    monkeypatch.setattr(facts, "MOST_BYTES_CLEARED", 0)
    watched.connect().execute(statement)
    assert line in lines(watched.audit())
    settled = watched.settle()
    assert (line in lines(settled.residue), settled.clean) == (True, False)


@pytest.mark.parametrize("how", ["wal"], indirect=True)
def test_much_wal_is_not_read_but_asked_about(watched):
    watched.connect().execute(
        "INSERT INTO keyless SELECT repeat('x', 500) FROM generate_series(1, 2000)"
    )
    residue = watched.audit()
    assert (residue.how, lines(residue)) == ("asked", ["public.keyless +2000"])
    assert watched.settle().clean
    assert watched.is_proven()


@pytest.mark.parametrize("how", ["wal"], indirect=True)
def test_wal_that_is_gone_is_asked_about(watched, monkeypatch):
    monkeypatch.setattr(auditors, "read_touched", lambda *_: None)
    watched.connect().execute("INSERT INTO cart (item) VALUES ('x')")
    assert watched.audit().how == "asked"
    assert watched.settle().clean


def test_what_others_wrote_while_it_was_cleared_is_found_when_they_rest(watched):
    end = threading.Event()

    def write(connection):
        while not end.is_set():
            # The sequence is set back under their feet, and their session may be ended.
            with suppress(psycopg.Error):
                connection.execute("INSERT INTO cart (item) VALUES ('x')")

    writers = [threading.Thread(target=write, args=(watched.connect(),)) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            watched.settle()
    finally:
        end.set()
        for writer in writers:
            writer.join()
    assert watched.settle().clean
    assert watched.is_proven()


def test_a_comment_that_is_not_our_mark_stops_everything(place):
    address, _ = place
    with Admin.connect(address) as admin:
        admin.execute("CREATE DATABASE decoy TEMPLATE template0")
    try:
        with pytest.raises(NotOurs, match="nothing was changed"):
            Inside.open(address.with_(dbname="decoy"), own=False)
    finally:
        with Admin.connect(address) as admin:
            admin.execute("DROP DATABASE decoy")


@pytest.mark.parametrize("how", ["wal"], indirect=True)
def test_a_mark_taken_off_between_two_looks_stops_the_second(watched):
    watched.watch._data = None
    watched.watch._wal = lambda _inside: None
    connection = watched.connect("freshpg_admin")
    connection.execute("INSERT INTO cart (item) VALUES ('x')")
    assert watched.audit()
    (mark,) = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
        [watched.name],
    ).fetchone()
    comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
    name = sql.Identifier(watched.name)
    connection.execute(comment.format(name, "somebody's own"))
    try:
        with pytest.raises(NotOurs, match="somebody's own"):
            watched.settle()
    finally:
        connection.execute(comment.format(name, mark))
    assert connection.execute("SELECT count(*) FROM cart").fetchone() == (1,)
