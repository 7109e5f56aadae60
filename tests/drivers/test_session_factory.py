"""``TestSessionFactory``: rollback by itself, limits, errors; outside of pytest's fixtures too."""

import asyncio
import select

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import freshpg
from freshpg.core.errors import LeaseClosed, UsageInvalid
from freshpg.drivers.sqlalchemy import TestSessionFactory

COUNT = text("SELECT count(*) FROM item")
INSERT = text("INSERT INTO item (name) VALUES ('mine')")
BAD = text("SELECT 1 / 0")
LEVELS = pytest.mark.parametrize("db", ["reset", "rollback"], indirect=True)


@LEVELS
def test_what_was_not_committed_is_rolled_back(db):
    factory = TestSessionFactory(db)
    with factory() as session:
        session.execute(INSERT)
    with factory() as session:
        assert session.scalar(COUNT) == 1
        session.execute(INSERT)
        session.commit()
    with factory() as session:
        assert session.scalar(COUNT) == 2


@LEVELS
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_asynchronous_sessions_do_the_same(db, driver):
    factory = TestSessionFactory(db, driver=driver)

    async def main():
        async with factory.asession() as session:
            await session.execute(INSERT)
        async with factory.asession() as session:
            assert await session.scalar(COUNT) == 1
            await session.execute(INSERT)
            await session.commit()
        async with factory.asession() as session:
            assert await session.scalar(COUNT) == 2
        await factory.async_engine.dispose()

    asyncio.run(main())


@LEVELS
def test_a_statement_may_not_take_longer_than_said(db):
    with TestSessionFactory(db, statement_timeout=0.02)() as session:
        with pytest.raises(DBAPIError, match="statement timeout"):
            session.execute(text("SELECT pg_sleep(5)"))
        session.rollback()
        assert session.scalar(COUNT) == 1


def test_a_lock_may_not_be_waited_for_longer_than_said(db):
    factory = TestSessionFactory(db, lock_timeout=0.02)
    with factory() as holder, factory() as other:
        holder.execute(text("LOCK TABLE item"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            other.execute(INSERT)


def test_a_session_may_not_be_idle_in_a_transaction_longer_than_said(db):
    with TestSessionFactory(db, idle_timeout=0.02)() as session:
        connection = session.connection().connection.driver_connection
        session.execute(INSERT)
        # The server says why when it ends the session; nothing is asked of it meanwhile.
        assert select.select([connection.fileno()], [], [], 5)[0]
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            session.execute(INSERT)


def test_timeouts_of_one_factory_are_not_those_of_another(db):
    ask = text("SHOW statement_timeout")
    with TestSessionFactory(db, statement_timeout=7)() as session:
        assert session.scalar(ask) == "7s"
    with TestSessionFactory(db)() as session:
        assert session.scalar(ask) == "0"


def test_a_pool_has_no_more_connections_than_said(db, monkeypatch):
    monkeypatch.setattr("freshpg.drivers.sqlalchemy.engines._POOL_PATIENCE", 0.05)
    factory = TestSessionFactory(db, pool_size=1, lock_timeout=8)
    with factory() as one, factory() as other:
        one.execute(COUNT)
        with pytest.raises(PoolTimeout):
            other.execute(COUNT)


@LEVELS
def test_on_error_rollback_leaves_a_session_that_can_be_used(db):
    with TestSessionFactory(db, on_error="rollback")() as session:
        session.execute(INSERT)
        with pytest.raises(DBAPIError, match="division by zero"):
            session.execute(BAD)
        assert session.scalar(COUNT) == 1


def test_on_error_rollback_holds_for_asynchronous_sessions(db):
    factory = TestSessionFactory(db, on_error="rollback")

    async def main():
        async with factory.asession() as session:
            with pytest.raises(DBAPIError, match="division by zero"):
                await session.scalar(BAD)
            return await session.scalar(COUNT)

    assert asyncio.run(main()) == 1


@LEVELS
def test_on_error_raise_leaves_the_transaction_as_failed_as_it_is(db):
    with TestSessionFactory(db)() as session:
        with pytest.raises(DBAPIError, match="division by zero"):
            session.execute(BAD)
        with pytest.raises(InternalError, match="aborted"):
            session.execute(COUNT)


def test_sessions_left_open_end_with_the_lease(manager):
    with manager.lease(isolation="reset") as database:
        factory = TestSessionFactory(database)
        session = factory()
        session.execute(INSERT)
    assert not session.in_transaction()
    with pytest.raises(LeaseClosed):
        factory()


@pytest.mark.parametrize(
    "wrong",
    [{"statement_timeout": -1}, {"pool_size": 0}, {"on_error": "ignore"}],
)
def test_what_cannot_be_meant_is_refused(db, wrong):
    with pytest.raises(UsageInvalid) as caught:
        TestSessionFactory(db, **wrong)
    assert f"{next(iter(wrong))}=" in caught.value.seen


def test_pytest_does_not_take_it_for_a_test_class():
    assert TestSessionFactory.__test__ is False


@pytest.mark.slow
def test_a_script_needs_no_pytest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.sql").write_text("CREATE TABLE item (name text)")
    with freshpg.database("schema.sql", linger=0) as database:
        factory = TestSessionFactory(database)
        with factory() as session:
            session.execute(INSERT)
            session.commit()
            assert session.scalar(COUNT) == 1
