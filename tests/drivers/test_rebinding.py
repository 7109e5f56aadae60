"""An application's own factories and engines, pointed at a test database for a while."""

import asyncio

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import (
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import scoped_session, sessionmaker

from freshpg.core.errors import DriverUnusable, UsageInvalid
from freshpg.drivers.sqlalchemy import rebind

NOWHERE = "postgresql+psycopg://nobody@nowhere.invalid/production"
COUNT = text("SELECT count(*) FROM item")
INSERT = text("INSERT INTO item (name) VALUES ('mine')")
WHERE = text("SELECT current_database()")
LEVELS = pytest.mark.parametrize("db", ["reset", "rollback"], indirect=True)


@pytest.fixture
def app_engine():
    engine = create_engine(NOWHERE)
    yield engine
    engine.dispose()


@LEVELS
def test_a_sessionmaker_leads_to_the_test_database_and_back(db, app_engine):
    factory = sessionmaker(app_engine, expire_on_commit=False)
    with rebind(factory, db) as same, same() as session:
        assert session.scalar(WHERE) == db.name
        assert session.expire_on_commit is False
        session.execute(INSERT)
        session.commit()
    assert factory.kw["bind"] is app_engine


def test_binds_by_table_do_not_lead_around_it_and_come_back(db, app_engine):
    factory = sessionmaker(binds={object: app_engine})
    with rebind(factory, db), factory() as session:
        assert session.scalar(WHERE) == db.name
    assert factory.kw["binds"] == {object: app_engine}
    assert factory.kw.get("bind") is None


@LEVELS
def test_a_scoped_session_starts_and_ends_without_a_session_of_before(db, app_engine):
    registry = scoped_session(sessionmaker(app_engine))
    before = registry()
    with rebind(registry, db):
        assert registry() is not before
        assert registry.scalar(WHERE) == db.name
        during = registry()
    assert registry() not in {before, during}
    assert registry().get_bind() is app_engine
    registry.remove()


@LEVELS
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_asynchronous_factories_are_rebound_too(db, driver):
    app_engine = create_async_engine(NOWHERE.replace("psycopg", driver))
    factory = async_sessionmaker(app_engine)
    registry = async_scoped_session(factory, scopefunc=asyncio.current_task)

    async def main():
        async with factory() as session:
            assert await session.scalar(WHERE) == db.name
            bind = session.bind
        assert bind.dialect.driver.startswith(driver)
        await bind.dispose()

    with rebind(registry, db):
        asyncio.run(main())
    assert factory.kw["bind"] is app_engine


@LEVELS
def test_an_engine_that_is_already_in_use_everywhere_is_rebound_in_place(db, app_engine):
    heard = []
    event.listen(app_engine, "connect", lambda connection, record: heard.append(connection))
    before = app_engine.pool, app_engine.url
    with rebind(app_engine, db):
        with app_engine.begin() as connection:
            assert connection.scalar(WHERE) == db.name
            connection.execute(INSERT)
        with app_engine.connect() as connection:
            assert connection.scalar(COUNT) == 2
        assert app_engine.url.database == db.name
        assert len(heard) == 1
    assert (app_engine.pool, app_engine.url) == before


@LEVELS
def test_an_asynchronous_engine_is_rebound_in_place(db):
    app_engine = create_async_engine(NOWHERE)

    async def main():
        async with app_engine.connect() as connection:
            return await connection.scalar(WHERE)

    with rebind(app_engine, db):
        assert asyncio.run(main()) == db.name
    assert app_engine.url.database == "production"


def test_an_engine_with_a_creator_of_its_own_does_not_call_it(db):
    def connect():
        pytest.fail("the application connected by itself")

    app_engine = create_engine("postgresql+psycopg://", creator=connect)
    with rebind(app_engine, db), app_engine.connect() as connection:
        assert connection.scalar(WHERE) == db.name


def test_it_is_put_back_when_the_test_fails(db, app_engine):
    factory = sessionmaker(app_engine)
    with pytest.raises(ZeroDivisionError), rebind(factory, db):
        raise ZeroDivisionError
    assert factory.kw["bind"] is app_engine


def test_what_is_no_factory_is_refused_and_nothing_is_changed(db):
    with pytest.raises(UsageInvalid, match="it is a function"), rebind(lambda: None, db):
        pass
    with (
        pytest.raises(UsageInvalid, match="it is a function"),
        rebind(scoped_session(lambda: None), db),
    ):
        pass


@pytest.mark.parametrize("db", ["rollback"], indirect=True)
def test_a_driver_that_cannot_share_a_session_is_refused_at_rollback(db):
    app_engine = create_engine(NOWHERE.replace("psycopg", "psycopg2"))
    factory = sessionmaker(app_engine)
    for target in (app_engine, factory):
        with pytest.raises(DriverUnusable, match='use driver "psycopg"'), rebind(target, db):
            pass
    with rebind(factory, db, driver="psycopg"), factory() as session:
        assert session.scalar(COUNT) == 1
    with pytest.raises(DriverUnusable), rebind(app_engine, db, driver="psycopg"):
        pass
