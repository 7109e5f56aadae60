"""Who may read WAL through SQL, and reading while others write."""

import threading

import pytest

from freshpg.core.errors import FreshpgError
from freshpg.postgres.admin import Admin
from freshpg.postgres.wal.source import SqlWal


@pytest.fixture
def reader(server, admin):
    """A plain role that may log in and nothing else, connected."""
    admin.execute("CREATE ROLE wal_reader LOGIN")
    with Admin.connect(server.with_(user="wal_reader", dbname="wal_here")) as connection:
        yield connection
    for database in ("wal_here", "postgres"):
        with Admin.connect(server.with_(dbname=database)) as cleaner:
            cleaner.execute("DROP OWNED BY wal_reader")
    admin.execute("DROP ROLE wal_reader")


def test_a_superuser_reads_through_sql(ledger):
    assert SqlWal.usable(ledger.admin)


def test_a_plain_role_does_not_read_through_sql(ledger, reader):
    assert not SqlWal.usable(reader)
    # Its session goes on as if nothing had been asked.
    assert reader.value("SELECT 1") == 1


def test_a_role_with_the_right_to_the_function_reads_through_sql(ledger, reader):
    ledger.admin.execute(
        "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO wal_reader"
    )
    assert SqlWal.usable(reader)
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    source = SqlWal(reader)
    assert source.segment_size == ledger.segment_size
    assert ledger.read(start, end, source) == ledger.read(start, end)


def test_a_right_that_was_taken_back_is_an_error(ledger, reader):
    function = "FUNCTION pg_read_binary_file(text, bigint, bigint, boolean)"
    ledger.admin.execute(f"GRANT EXECUTE ON {function} TO wal_reader")
    source = SqlWal(reader)
    start, end = ledger.around(lambda: ledger.admin.execute("UPDATE notes SET word = 'x'"))
    ledger.admin.execute(f"REVOKE EXECUTE ON {function} FROM wal_reader")
    with pytest.raises(FreshpgError):
        ledger.read(start, end, source)


@pytest.mark.slow
def test_ranges_are_whole_while_others_write(server, ledger, elsewhere):
    """Each range ends where our own flush says, whatever others write behind it at the same time."""
    ended = threading.Event()
    wrote = {"wal_here": 0, "wal_elsewhere": 0}

    def write(database, statement):
        with Admin.connect(server.with_(dbname=database)) as admin:
            while not ended.is_set():
                admin.execute(statement)
                wrote[database] += 1

    ledger.admin.execute("CREATE TABLE busy (word text)")
    writers = [
        threading.Thread(
            target=write,
            args=(
                "wal_here",
                "INSERT INTO busy SELECT repeat('x', 300) FROM generate_series(1, 20)",
            ),
        ),
        threading.Thread(
            target=write,
            args=("wal_elsewhere", "INSERT INTO theirs (word) VALUES (repeat('y', 3000))"),
        ),
    ]
    for writer in writers:
        writer.start()
    try:
        positions = [ledger.now()]
        found = []
        for number in range(300):
            if number % 3 == 0:
                ledger.admin.execute("UPDATE notes SET word = word || 'z'")
            positions.append(ledger.now())
            found.append(ledger.read(*positions[-2:]))
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    notes, busy = (
        ledger.admin.value(f"SELECT pg_relation_filenode('{name}')") for name in ("notes", "busy")
    )
    assert all(touched is not None for touched in found)
    assert all(touched.relations <= {notes, busy} for touched in found)
    assert [notes in touched.relations for touched in found] == [
        number % 3 == 0 for number in range(300)
    ]
    assert all(wrote.values())
    assert any(busy in touched.relations for touched in found)
    commits = frozenset().union(*(touched.commits for touched in found))
    whole = ledger.read(positions[0], positions[-1])
    assert whole.commits == commits
