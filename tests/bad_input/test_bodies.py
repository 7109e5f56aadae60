"""Tests that do to their database what they may but should not: the next lease works and is clean."""

from __future__ import annotations

import threading

import psycopg
import pytest

from freshpg.core.clock import Deadline

LEVELS = ("reset", "clone")


def elsewhere(database, **changes):
    """Connect to another database of the same server."""
    return psycopg.connect(
        **{**database.conninfo.keywords(), "dbname": "postgres", "autocommit": True, **changes}
    )


def wait_for_a_connection(manager, level):
    limit = Deadline(5)
    with manager.lease(isolation=level) as database:
        while True:
            try:
                return psycopg.connect(**database.conninfo.keywords()).close()
            except psycopg.OperationalError:
                assert not limit.expired


@pytest.mark.parametrize("level", LEVELS)
def test_a_test_may_drop_its_own_database(manager, assert_clean, level):
    with manager.lease(isolation=level) as database, elsewhere(database) as connection:
        connection.execute(f'DROP DATABASE "{database.name}"')
    assert_clean(manager, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("new_name", ["hidden", "shop_test_3", "shop_test_used_2"])
def test_a_test_may_rename_its_own_database(make_manager, assert_clean, level, new_name):
    manager = make_manager(superuser=True)
    with manager.lease(isolation=level) as database, elsewhere(database) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{new_name}" WITH (FORCE)')
        connection.execute(f'ALTER DATABASE "{database.name}" RENAME TO "{new_name}"')
    assert_clean(manager, level, times=6)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "statement",
    [
        "COMMENT ON DATABASE {} IS NULL",
        "COMMENT ON DATABASE {} IS 'the shop'",
        "ALTER DATABASE {} CONNECTION LIMIT 0",
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        "ALTER DATABASE {} SET search_path = nowhere",
        "REVOKE ALL ON DATABASE {} FROM PUBLIC, CURRENT_USER",
        "ALTER DATABASE {} SET statement_timeout = 1",
    ],
)
def test_a_test_may_alter_its_own_database(manager, assert_clean, level, statement):
    with (
        manager.lease(isolation=level) as database,
        database.connect(autocommit=True) as connection,
    ):
        connection.execute(statement.format(f'"{database.name}"'))
    assert_clean(manager, level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_test_may_shut_its_own_database(manager, assert_clean, level):
    with manager.lease(isolation=level) as database, elsewhere(database) as connection:
        connection.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
    assert_clean(manager, level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_superuser_test_may_make_its_database_a_template(make_manager, assert_clean, level):
    manager = make_manager(superuser=True)
    with (
        manager.lease(isolation=level) as database,
        database.connect(autocommit=True) as connection,
    ):
        connection.execute(f'ALTER DATABASE "{database.name}" IS_TEMPLATE true')
    assert_clean(manager, level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("superuser", [False, True])
def test_a_test_may_end_all_sessions_it_may(make_manager, assert_clean, level, superuser):
    manager = make_manager(superuser=superuser)
    for _ in range(2):
        with (
            manager.lease(isolation=level) as database,
            database.connect(autocommit=True) as connection,
        ):
            connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE pid <> pg_backend_pid() AND usename IS NOT NULL
                   AND (current_setting('is_superuser') = 'on' OR usename = current_user)
                """
            )
    assert_clean(manager, level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_test_may_open_all_connections_there_are(manager, assert_clean, level):
    opened = []
    with manager.lease(isolation=level) as database:
        keywords = database.conninfo.keywords()
        with pytest.raises(psycopg.OperationalError, match=r"too many clients|reserved"):
            opened.extend(psycopg.connect(**keywords) for _ in range(1000))
    # At level clone they end in the background.
    wait_for_a_connection(manager, level)
    assert_clean(manager, level)
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("level", LEVELS)
def test_a_transaction_left_open_with_locks_is_ended(manager, assert_clean, level):
    with manager.lease(isolation=level) as database:
        left = psycopg.connect(**database.conninfo.keywords())
        left.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        left.execute("SELECT pg_advisory_lock(1)")
        left.execute("CREATE TABLE left_over (id int)")
    assert_clean(manager, level)
    left.close()


@pytest.mark.parametrize("level", LEVELS)
def test_a_thread_that_sleeps_for_ever_in_the_server_is_woken(manager, assert_clean, level):
    ended = threading.Event()
    started = threading.Event()

    def sleep(connection):
        started.set()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(1e6)")
        ended.set()

    with manager.lease(isolation=level) as database:
        thread = threading.Thread(
            target=sleep, args=(psycopg.connect(**database.conninfo.keywords()),), daemon=True
        )
        thread.start()
        assert started.wait(5)
    assert_clean(manager, level)
    assert ended.wait(5)
    thread.join()


@pytest.mark.parametrize("level", LEVELS)
def test_who_listens_for_ever_is_ended(manager, assert_clean, level):
    with manager.lease(isolation=level) as database:
        left = psycopg.connect(**database.conninfo.keywords(), autocommit=True)
        left.execute("LISTEN orders")
        left.execute("NOTIFY orders")
    assert_clean(manager, level)
    left.close()


@pytest.mark.parametrize("level", LEVELS)
def test_a_prepared_transaction_does_not_hold_the_next_test_up(make_manager, assert_clean, level):
    manager = make_manager(settings={"max_prepared_transactions": "5"})
    for number in range(2):
        with (
            manager.lease(isolation=level) as database,
            database.connect(autocommit=True) as connection,
        ):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
            connection.execute(f"PREPARE TRANSACTION 'it''s left {number}'")
    assert_clean(manager, level)


def test_a_replication_slot_ends_with_the_server_of_its_own(manager, assert_clean):
    with (
        manager.lease(isolation="server") as database,
        database.connect(autocommit=True) as connection,
    ):
        connection.execute("SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
    assert_clean(manager, "server", times=2)


@pytest.mark.parametrize("level", LEVELS)
def test_databases_and_large_objects_of_a_test_do_not_reach_the_next(manager, assert_clean, level):
    with (
        manager.lease(isolation=level) as database,
        database.connect(autocommit=True) as connection,
    ):
        connection.execute("SELECT lo_create(4711)")
        connection.execute("DROP SCHEMA public CASCADE")
    with manager.lease(isolation=level) as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)
    assert_clean(manager, level)
