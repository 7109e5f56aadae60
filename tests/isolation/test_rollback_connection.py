"""The connection of a rollback test: commits that are none, errors as outside, and what it refuses."""

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from rollback_world import (
    address,
    auto,
    conn,
    kept_session,
    make_database,
    names,
    rollback_server,
    session,
    single,
)

from freshpg.core.errors import (
    ConstraintBroken,
    LeaseClosed,
    OuterTransactionEnded,
    RollbackCannot,
    UsageInvalid,
)
from freshpg.isolation.rollback.single import SingleConnection

__all__ = [
    "address", "auto", "conn", "kept_session", "make_database", "rollback_server", "session", "single",
]  # fmt: skip

IDLE, INTRANS, INERROR = (
    TransactionStatus.IDLE,
    TransactionStatus.INTRANS,
    TransactionStatus.INERROR,
)


def add(connection, name="Grace"):
    return connection.execute(
        "INSERT INTO customer (name) VALUES (%s) RETURNING id", (name,)
    ).fetchone()


@pytest.fixture
def outside(address, session):
    """A session that sees what is really committed; it comes after the test's own."""
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def next_test(session, address):
    """End the test and begin the next one on the same session; return its connection."""

    def turn(single, **options):
        ending = single.end()
        assert ending.problem is None
        session.neighbours = None
        session.begin()
        return SingleConnection(session, address, "the next").connect(**options)

    return turn


def test_what_was_committed_is_there_until_the_test_ends_and_nobody_else_sees_it(
    conn, single, outside, next_test
):
    add(conn)
    conn.commit()
    conn.rollback()
    assert names(conn) == ["Ada", "Grace"]
    assert names(outside) == ["Ada"]
    assert names(next_test(single)) == ["Ada"]


def test_a_with_block_commits_and_closes_and_the_next_connection_goes_on(single):
    with single.connect() as first:
        add(first)
    assert first.closed
    with pytest.raises(psycopg.OperationalError, match="closed"):
        first.execute("SELECT 1")
    with single.connect(row_factory=dict_row) as second:
        assert second.execute("SELECT count(*) AS n FROM customer").fetchone() == {"n": 2}


def test_closing_without_commit_loses_what_was_done(single):
    first = single.connect()
    add(first)
    first.close()
    assert names(single.connect()) == ["Ada"]


def test_an_error_needs_a_rollback_as_outside(conn):
    add(conn)
    conn.commit()
    with pytest.raises(psycopg.errors.UniqueViolation):
        add(conn)
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        conn.execute("SELECT 1")
    assert conn.info.transaction_status == INERROR
    conn.rollback()
    assert conn.info.transaction_status == IDLE
    assert names(conn) == ["Ada", "Grace"]


def test_in_autocommit_a_failed_statement_harms_nothing_else(auto):
    add(auto)
    with pytest.raises(psycopg.errors.UniqueViolation):
        add(auto)
    assert auto.info.transaction_status == IDLE
    assert names(auto) == ["Ada", "Grace"]


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT",
        "END",
        "commit work;",
        "/* now */ COMMIT AND NO CHAIN -- really",
        "COMMIT AND CHAIN",
    ],
)
def test_a_commit_by_text_commits_what_the_test_did_and_not_the_outer_transaction(
    conn, outside, text
):
    add(conn)
    conn.execute(text)
    conn.rollback()
    assert names(conn) == ["Ada", "Grace"]
    assert names(outside) == ["Ada"]


def test_a_cursor_made_past_the_connection_does_not_commit_either(conn, outside):
    cursor = psycopg.ClientCursor(conn)
    cursor.execute("INSERT INTO customer (name) VALUES (%s)", ("Grace",))
    cursor.execute("COMMIT")
    assert names(outside) == ["Ada"]


def test_a_cursor_class_of_the_user_keeps_its_ways(single):
    class Shouting(psycopg.ClientCursor):
        def shout(self):
            return self.fetchone()[0].upper()

    connection = single.connect(cursor_factory=Shouting)
    cursor = connection.cursor()
    assert isinstance(cursor, Shouting)
    assert cursor.execute("SELECT name FROM customer").shout() == "ADA"
    cursor.execute("COMMIT")
    assert cursor.statusmessage == "COMMIT"


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO customer (name) VALUES ('Grace'); COMMIT",
        "BEGIN; INSERT INTO customer (name) VALUES ('Grace'); END",
        "SELECT 'a;b'; /* x */ ROLLBACK; SELECT 1",
    ],
)
def test_several_statements_with_an_end_among_them_are_refused_as_a_whole(auto, outside, text):
    with pytest.raises(RollbackCannot, match="one at a time"):
        auto.execute(text)
    assert names(auto) == names(outside) == ["Ada"]


def test_several_statements_without_one_are_one_transaction_in_autocommit(auto):
    with pytest.raises(psycopg.errors.DivisionByZero):
        auto.execute("INSERT INTO parent VALUES (1); SELECT CASE WHEN true THEN 1/0 END")
    assert auto.execute("SELECT count(*) FROM parent").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM",
        "CREATE DATABASE other",
        "CREATE INDEX CONCURRENTLY ON customer (id)",
        "CALL committing()",
        "DISCARD ALL",
    ],
)
def test_what_cannot_run_in_a_transaction_names_the_levels_that_can(auto, statement):
    with pytest.raises(RollbackCannot, match="isolation 'reset'"):
        auto.execute(statement)
    assert names(auto) == ["Ada"]


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.tpc_begin("one"),
        lambda c: c.tpc_commit("one"),
        lambda c: c.xid(1, "one", "two"),
        lambda c: c.execute("PREPARE TRANSACTION 'one'"),
        lambda c: c.execute("COMMIT PREPARED 'one'"),
        lambda c: c.notifies(timeout=0),
        lambda c: list(c.cursor().stream("COMMIT")),
    ],
    ids=["begin", "commit", "xid", "by text", "prepared", "notifies", "stream"],
)
def test_two_phase_commit_notifications_and_ends_by_stream_are_refused(conn, act):
    with pytest.raises(RollbackCannot, match="reset"):
        act(conn)


def test_a_stricter_isolation_level_is_refused(conn):
    conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    with pytest.raises(RollbackCannot, match="ISOLATION LEVEL"):
        conn.execute("SELECT 1")
    conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    conn.execute("SELECT 1")


def test_a_read_only_transaction_is_one_and_the_next_is_not(conn):
    conn.read_only = True
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        add(conn)
    conn.rollback()
    conn.read_only = False
    add(conn)


def test_options_that_need_a_session_of_their_own_are_refused(single, address):
    with pytest.raises(RollbackCannot, match="options, user"):
        single.connect(user="somebody", options="-c work_mem=1MB")
    single.connect(user=address.user, application_name="mine").execute("SELECT 1")


@pytest.mark.parametrize("by_text", [True, False])
def test_a_deferred_constraint_is_checked_at_a_commit_as_outside(conn, by_text):
    conn.execute("INSERT INTO child VALUES (1, 99)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        conn.execute("COMMIT") if by_text else conn.commit()
    assert conn.info.transaction_status == IDLE
    conn.execute("INSERT INTO child VALUES (1, 99)")
    conn.execute("INSERT INTO parent VALUES (99)")
    conn.commit()


def test_a_deferred_constraint_that_does_not_hold_fails_the_test_at_its_end(
    conn, single, next_test, session, address
):
    conn.execute("INSERT INTO child VALUES (1, 99)")
    ending = single.end()
    assert isinstance(ending.problem, ConstraintBroken)
    assert ending.problem.constraint == "child_parent_fkey"
    assert "(parent)=(99)" in str(ending.problem)
    assert not ending.doubt
    assert session.begin()
    with SingleConnection(session, address, "").connect() as connection:
        assert connection.execute("SELECT count(*) FROM child").fetchone() == (0,)


def test_a_constraint_that_begins_immediate_stays_so(make_database):
    from freshpg.isolation.rollback.session import RollbackSession

    address = make_database()
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE twin (id int REFERENCES parent DEFERRABLE, other int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
    session = RollbackSession(address, "freshpg_admin")
    try:
        session.begin()
        single = SingleConnection(session, address, "")
        connection = single.connect()
        connection.execute("INSERT INTO twin VALUES (NULL, 5)")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.commit()
        connection.commit()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("INSERT INTO twin VALUES (7, NULL)")
        connection.rollback()
        connection.execute("INSERT INTO twin VALUES (NULL, 5)")
        connection.rollback()
        assert single.end().problem is None
    finally:
        session.close()


def moved(connection):
    return connection.execute(
        "SELECT last_value, is_called FROM ticket UNION ALL SELECT last_value, is_called FROM customer_id_seq"
    ).fetchall()


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.execute("SELECT nextval('ticket')"),
        lambda c: c.execute("SELECT setval('ticket', 7, false)"),
        add,
        lambda c: (c.execute("SELECT nextval('ticket')"), c.rollback()),
        lambda c: (c.execute("SELECT nextval('ticket')"), c.execute("ALTER SEQUENCE ticket RESTART 9")),
        lambda c: (add(c), c.execute("TRUNCATE customer RESTART IDENTITY"), c.commit(), add(c)),
        lambda c: (c.execute("SELECT nextval('ticket')"), c.execute("DROP SEQUENCE ticket")),
        lambda c: (c.execute("SELECT nextval('ticket')"), c.execute("DEALLOCATE ALL")),
        lambda c: (c.execute("SELECT nextval('ticket')"), c.execute("DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'")),
        lambda c: (c.execute("CREATE SEQUENCE fresh"), c.execute("SELECT nextval('fresh')")),
    ],
    ids=[
        "nextval", "setval", "identity", "rolled back", "altered", "restarted", "dropped", "deallocated",
        "deallocated unseen", "made by the test",
    ],
)  # fmt: skip
def test_sequences_are_put_back(conn, single, act, next_test):
    before = moved(conn)
    act(conn)
    assert moved(next_test(single)) == before


def test_nothing_of_the_session_reaches_the_next_test(conn, single, next_test, rollback_server):
    for statement in (
        "SET work_mem = '1MB'",
        "SET search_path = nowhere",
        "SELECT set_config('my.own', 'x', false)",
        "CREATE TEMP TABLE scratch (id int)",
        "SELECT pg_advisory_lock(4711)",
        "PREPARE mine AS SELECT 1",
        "LISTEN news",
        "SELECT nextval('public.ticket')",
    ):
        conn.execute(statement)
        conn.commit()
    conn.execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1")
    connection = next_test(single)
    assert connection.execute("SHOW work_mem").fetchone() == ("4MB",)
    assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert connection.execute("SELECT current_setting('my.own', true)").fetchone() in {
        ("",),
        (None,),
    }
    assert connection.execute("SELECT to_regclass('scratch')").fetchone() == (None,)
    assert connection.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    ).fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM pg_cursors WHERE name = 'held'").fetchone() == (
        0,
    )
    prepared = connection.execute(
        "SELECT name FROM pg_prepared_statements ORDER BY name"
    ).fetchall()
    assert prepared == [("freshpg_look",), ("freshpg_moved",), ("freshpg_put_back",)]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute("SELECT currval('ticket')")


def test_statements_that_psycopg_prepares_do_not_collide(single, next_test):
    first, second = single.connect(prepare_threshold=0), single.connect(prepare_threshold=0)
    for connection in (first, second, first):
        assert names(connection) == ["Ada"]
    first.execute("SELECT 1")
    first.rollback()
    assert names(second) == ["Ada"]
    third = next_test(single, prepare_threshold=0)
    assert names(third) == ["Ada"]


def test_a_commit_on_the_raw_connection_is_noticed_at_once_and_again_at_the_end(make_database):
    from freshpg.isolation.rollback.session import RollbackSession

    address = make_database()
    session = RollbackSession(address, "freshpg_admin")
    try:
        session.begin()
        single = SingleConnection(session, address, "")
        connection = single.connect()
        connection.pgconn.exec_(b"COMMIT")
        with pytest.raises(OuterTransactionEnded, match="reset"):
            connection.execute("SELECT 1")
        ending = single.end()
        assert ending.doubt
        assert isinstance(ending.problem, OuterTransactionEnded)
    finally:
        session.close()


def test_another_session_leaves_a_doubt_and_one_that_stays_too(single, session, address):
    assert session.neighbours is not None
    psycopg.connect(**address.keywords()).close()
    assert "other session" in single.end().doubt
    with psycopg.connect(**address.keywords()):
        session.begin()
        ending = SingleConnection(session, address, "").end()
        assert "connected" in ending.doubt
    while session._others():
        pass  # it takes its leave
    session.forget()
    assert session.begin()
    assert not session.end().doubt
    session.begin()


def test_after_the_end_a_connection_says_where_it_came_from_and_where_it_was_used(conn, single):
    cursor = conn.cursor()
    single.end()
    for use in (
        lambda: conn.execute("SELECT 1"),
        lambda: cursor.execute("SELECT 1"),
        conn.commit,
        conn.cursor,
    ):
        with pytest.raises(LeaseClosed) as told:
            use()
        assert str(told.value).count(__file__) >= 1
        assert "tests/test_x.py::test_y" in str(told.value)
    assert conn.closed


def test_nested_blocks_and_savepoints_are_psycopgs(conn):
    with conn.transaction():
        add(conn, "one")
        with pytest.raises(ZeroDivisionError), conn.transaction():  # noqa: PT012 (the block is what is tested)
            add(conn, "two")
            raise ZeroDivisionError
        with conn.transaction() as inner:
            add(conn, "three")
            raise psycopg.Rollback(inner)
        conn.execute("SAVEPOINT mine")
        add(conn, "four")
        conn.execute("ROLLBACK TO mine")
    assert conn.info.transaction_status == IDLE
    assert names(conn) == ["Ada", "one"]


def test_a_pipeline_in_autocommit_undoes_what_was_sent_since_its_last_sync(auto):
    with pytest.raises(psycopg.errors.DivisionByZero), auto.pipeline() as pipeline:  # noqa: PT012 (as above)
        add_quietly(auto, "one")
        pipeline.sync()
        add_quietly(auto, "two")
        auto.execute("SELECT 1/0")
    assert names(auto) == ["Ada", "one"]


def add_quietly(connection, name):
    connection.execute("INSERT INTO customer (name) VALUES (%s)", (name,))


def test_a_pipeline_with_a_transaction_rolls_back_as_one(auto):
    with pytest.raises(psycopg.errors.DivisionByZero), auto.pipeline(), auto.transaction():  # noqa: PT012 (as above)
        add_quietly(auto, "one")
        auto.execute("SELECT 1/0")
    assert names(auto) == ["Ada"]
    with auto.pipeline(), auto.transaction():
        add_quietly(auto, "two")
    assert names(auto) == ["Ada", "two"]


def test_a_server_side_cursor_ends_with_its_transaction(conn):
    cursor = conn.cursor("mine")
    cursor.execute("SELECT name FROM customer")
    assert cursor.fetchone() == ("Ada",)
    conn.commit()
    again = conn.cursor("mine")
    again.execute("SELECT 1")
    assert again.fetchone() == (1,)
    conn.rollback()
    cursor.close()
    again.close()


def test_notices_reach_the_handlers_of_the_connection(single):
    heard = []
    first = single.connect()
    first.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    single.connect().close()
    first.execute("DO 'BEGIN RAISE NOTICE ''hello''; END'")
    assert heard == ["hello"]


def test_now_stands_still(conn):
    first = conn.execute("SELECT now()").fetchone()
    conn.commit()
    assert conn.execute("SELECT now()").fetchone() == first
    assert conn.execute("SELECT clock_timestamp() > now()").fetchone() == (True,)


def test_an_unknown_mode_of_ownership_is_refused(single):
    with pytest.raises(UsageInvalid, match="manual, automatic, shared"):
        single.ownership.mode = "mine"
