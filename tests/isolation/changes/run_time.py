"""What lives in sessions: nothing of it is in a file, and the next test would meet it."""

from isolation.changes.change import Change, needing

from freshpg.core.clock import Deadline


def _open_transaction(hands):
    hands.open(autocommit=False).execute("INSERT INTO basket VALUES (1, 'open')")


def _idle_snapshot(hands):
    connection = hands.open(autocommit=False)
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    connection.execute("SELECT count(*) FROM customer")


def _open_read(hands):
    hands.open(autocommit=False).execute("SELECT count(*) FROM customer")


def _lock(hands):
    hands.open(autocommit=False).execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")


def _failed(hands):
    import psycopg

    connection = hands.open(autocommit=False)
    try:
        connection.execute("SELECT 1/0")
    except psycopg.Error:
        return
    raise AssertionError


def _row_lock(hands):
    hands.open(autocommit=False).execute("SELECT * FROM customer WHERE id = 1 FOR UPDATE")


def _cursor(hands):
    connection = hands.open(autocommit=False)
    connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM customer")
    connection.commit()


def _open_large_object(hands):
    connection = hands.open(autocommit=False)
    connection.execute("SELECT lowrite(lo_open(4242, 131072), 'half')")


def _still_running(hands):
    connection, looker = hands.open(), hands.open()
    connection.pgconn.send_query(b"SELECT pg_sleep(600)")
    end = Deadline(20.0)
    while not looker.execute(
        "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep%%' AND state = 'active'",
        (connection.info.backend_pid,),
    ).fetchone():
        connection.pgconn.flush()
        assert not end.expired


OWN = (
    "the server tells a session's settings, channels, cursors and statements to that session alone"
)

CHANGES = [
    Change("keep a connection open", lambda hands: hands.open().execute("SELECT 1"), content=False),
    Change("leave a transaction open that wrote", _open_transaction, content=False, held=True),
    Change("leave a transaction open that read", _open_read, content=False, held=True),
    Change("leave a snapshot open", _idle_snapshot, content=False, held=True),
    Change("leave a transaction open that failed", _failed, content=False, held=True),
    Change("leave a table locked", _lock, content=False, held=True),
    Change("leave a row locked", _row_lock, content=False, held=True),
    Change("leave a large object half written", _open_large_object, content=False, held=True),
    Change("leave a query running", _still_running, content=False, held=True),
    Change("keep an advisory lock", "SELECT pg_advisory_lock(42)", content=False, held=True),
    Change("keep a cursor", _cursor, content=False, held=True, unseen=OWN),
    Change("listen", "LISTEN news", content=False, held=True, unseen=OWN),
    Change("notify", "NOTIFY news, 'x'", content=False),
    Change("set in a session that stays", "SET search_path = extra", content=False, held=True, unseen=OWN),
    Change("set a role in a session that stays", "SET ROLE pg_monitor", content=False, held=True, unseen=OWN,
        needs=needing("superuser")),
    Change("prepare a statement in a session that stays", "PREPARE s AS SELECT 1", content=False, held=True, unseen=OWN),
    Change("prepare a transaction", (
        "BEGIN", "INSERT INTO basket VALUES (1, 'prepared')", "PREPARE TRANSACTION 'left'",
    ), needs=needing("two phases")),
    Change("prepare a transaction that only locks", (
        "BEGIN", "LOCK TABLE customer IN SHARE MODE", "PREPARE TRANSACTION 'left'",
    ), needs=needing("two phases")),
]  # fmt: skip
