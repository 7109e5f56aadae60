"""Engines of SQLAlchemy that outlive the tests they are lent to."""

import asyncio
import os
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from freshpg.core.errors import DriverUnusable
from freshpg.drivers.sqlalchemy import async_engine, engine
from freshpg.drivers.sqlalchemy.settings import SessionSettings

PID = text("SELECT pg_backend_pid()")
COUNT = text("SELECT count(*) FROM item")
INSERT = text("INSERT INTO item (name) VALUES ('mine')")


def pid_of(engine):
    with engine.connect() as connection:
        return connection.scalar(PID)


def test_an_engine_and_its_connection_are_kept_from_test_to_test(manager):
    seen = set()
    for _ in range(3):
        with manager.lease(isolation="reset") as database:
            kept = engine(database)
            seen.add((kept, pid_of(kept)))
    assert len(seen) == 1


def test_an_engine_is_kept_at_rollback_and_its_connection_is_that_of_the_test(manager):
    seen = set()
    for _ in range(2):
        with manager.lease(isolation="rollback") as database:
            kept = engine(database)
            seen.add(kept)
            own = database.connect().execute("SELECT pg_backend_pid()").fetchone()[0]
            assert pid_of(kept) == own
    assert len(seen) == 1


def test_all_connections_of_a_rollback_test_see_the_same(manager):
    with manager.lease(isolation="rollback") as database:
        with Session(engine(database)) as session:
            session.execute(INSERT)
            session.commit()
        assert database.connect().execute("SELECT count(*) FROM item").fetchone() == (2,)

        async def look():
            async with AsyncSession(async_engine(database)) as session:
                return await session.scalar(COUNT)

        assert asyncio.run(look()) == 2


def test_a_session_at_rollback_commits_and_rolls_back_as_elsewhere(manager):
    with manager.lease(isolation="rollback") as database, Session(engine(database)) as session:
        session.execute(INSERT)
        session.commit()
        session.execute(text("DELETE FROM item"))
        session.rollback()
        with pytest.raises(DBAPIError, match="item_name_key"):
            session.execute(INSERT)
        session.rollback()
        with session.begin_nested() as inner:
            session.execute(text("DELETE FROM item"))
            inner.rollback()
        assert session.scalar(COUNT) == 2


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_a_pooled_connection_that_the_server_ended_is_replaced_unnoticed(manager, driver):
    with manager.lease(isolation="reset") as database:
        kept = engine(database, driver=driver)
        before = pid_of(kept)
        _end_session(database, before)
        assert pid_of(kept) != before


def test_a_pool_goes_on_when_the_database_was_replaced_between_two_tests(manager):
    with manager.lease(isolation="reset") as database:
        kept = engine(database)
        with kept.begin() as connection:
            connection.execute(text("CREATE TABLE extra (x int)"))
    with manager.lease(isolation="reset") as database:
        assert engine(database) is kept
        with kept.connect() as connection:
            assert connection.scalar(COUNT) == 1
            assert connection.scalar(text("SELECT to_regclass('extra')")) is None


@pytest.mark.parametrize("level", ["rollback", "reset", "clone"])
def test_sessions_go_on_after_a_reset_in_the_middle_of_a_test(manager, level):
    with manager.lease(isolation=level) as database, Session(engine(database)) as session:
        session.execute(INSERT)
        session.commit()
        database.reset()
        assert session.scalar(COUNT) == 1


def test_a_connection_that_was_not_given_back_is_closed_with_the_lease(manager):
    with manager.lease(isolation="reset") as database:
        connection = engine(database).connect()
        connection.execute(INSERT)
        inner = connection.connection.driver_connection
    assert inner.closed
    connection.close()


@pytest.mark.parametrize("level", ["clone", "readonly"])
def test_nothing_stays_open_where_the_next_test_gets_another_database(manager, level):
    with manager.lease(isolation=level) as database:
        kept = engine(database)
        pid_of(kept)
        assert kept.pool.checkedin() == 1
    assert kept.pool.checkedin() == 0


def test_engines_end_with_the_manager(own_manager):
    with own_manager.lease(isolation="reset") as database:
        kept = engine(database)
        pid_of(kept)
    assert kept.pool.checkedin() == 1
    own_manager.stop()
    assert kept.pool.checkedin() == 0


def test_a_forked_child_takes_no_connection_of_its_parent(manager):
    with manager.lease(isolation="reset") as database:
        kept = engine(database)
        pid = pid_of(kept)
        child = os.fork()
        if child == 0:
            os._exit(0 if kept.pool.checkedin() == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pid_of(kept) == pid


@pytest.mark.parametrize(
    "driver, level", [("psycopg", "reset"), ("psycopg", "rollback"), ("asyncpg", "reset")]
)
def test_an_asynchronous_engine_serves_one_loop_after_the_other(manager, driver, level):
    async def count(database):
        kept = async_engine(database, driver=driver, pooled=driver == "psycopg")
        # Two at once make the pool wait in its loop.
        async with AsyncSession(kept) as one:
            first = await one.scalar(COUNT)
            await one.rollback()
            async with AsyncSession(kept) as other:
                return first, await other.scalar(COUNT)

    for _ in range(2):
        with manager.lease(isolation=level) as database:
            assert [asyncio.run(count(database)) for _ in range(2)] == [(1, 1), (1, 1)]


def test_an_asynchronous_engine_keeps_its_connection_within_one_loop(manager):
    async def pid(database):
        async with async_engine(database).connect() as connection:
            return await connection.scalar(PID)

    with asyncio.Runner() as runner:
        seen = set()
        for _ in range(2):
            with manager.lease(isolation="reset") as database:
                seen.add(runner.run(pid(database)))
    assert len(seen) == 1


def test_asyncpg_has_one_connection_at_rollback_and_a_second_one_waits_in_vain(
    manager, monkeypatch
):
    monkeypatch.setattr("freshpg.drivers.sqlalchemy.engines._POOL_PATIENCE", 0.05)

    async def two(database):
        kept = async_engine(
            database, driver="asyncpg", settings=SessionSettings(statement_timeout=9)
        )
        async with kept.connect():
            with pytest.raises(PoolTimeout):
                await kept.connect()
        await kept.dispose()

    with manager.lease(isolation="rollback") as database:
        asyncio.run(two(database))


@pytest.mark.parametrize(
    "make, driver, said",
    [
        (engine, "asyncpg", "no synchronous driver"),
        (async_engine, "psycopg2", "no asynchronous driver"),
        (engine, "mysql", "no synchronous driver"),
    ],
)
def test_a_driver_of_the_other_kind_is_refused(manager, make, driver, said):
    with (
        manager.lease(isolation="reset") as database,
        pytest.raises(DriverUnusable) as caught,
    ):
        make(database, driver=driver)
    assert said in caught.value.seen


def test_what_is_not_installed_is_named_with_what_to_install(manager, monkeypatch):
    monkeypatch.setattr("freshpg.drivers.refusals.find_spec", lambda name: None)
    with (
        manager.lease(isolation="reset") as database,
        pytest.raises(DriverUnusable, match="pip install 'psycopg2-binary'"),
    ):
        engine(database, driver="psycopg2")


def _end_session(database, pid):
    """End a session and wait until the server has let go of it."""
    with psycopg.connect(**database.conninfo.keywords(), autocommit=True) as connection:
        assert connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone()[0]


def test_what_is_synchronous_needs_nothing_of_the_asynchronous_side():
    script = (
        "import sys; sys.modules['sqlalchemy.ext.asyncio'] = None\n"
        "from sqlalchemy.orm import sessionmaker\n"
        "from freshpg.drivers.sqlalchemy import TestSessionFactory, engine, rebind, rebinding\n"
        "print(rebinding._is_asynchronous(sessionmaker(), 'async_sessionmaker'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("False\n", "")
