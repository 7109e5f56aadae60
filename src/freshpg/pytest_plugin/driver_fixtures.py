"""What the fixtures for drivers and object mappers do; each driver is imported by the first test that asks for it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DriverUnusable
from freshpg.pytest_plugin.loops import loop_of
from freshpg.pytest_plugin.marker import wishes
from freshpg.pytest_plugin.options import driver_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterator

    import asyncpg
    import psycopg
    import pytest
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from freshpg.drivers.sqlalchemy import TestSessionFactory
    from freshpg.handle import Database


def connection(pg: Database) -> Iterator[psycopg.Connection[Any]]:
    """Give a psycopg connection."""
    given = pg.connect()
    with _in_its_process(given.close):
        yield given


def async_connection(pg: Database) -> Iterator[psycopg.AsyncConnection[Any]]:
    """Give an asynchronous psycopg connection."""
    from freshpg.drivers.psycopg import connect_outside_loops, end_outside_loops

    given = connect_outside_loops(pg)
    with _in_its_process(partial(end_outside_loops, given)):
        yield given


def asyncpg_connection(
    request: pytest.FixtureRequest, pg: Database
) -> Iterator[asyncpg.Connection[Any]]:
    """Give an asyncpg connection, in the event loop of the test."""
    from freshpg.drivers.asyncpg import connect

    loop = loop_of(request)
    if loop is None:
        raise _without_loop(request, "await freshpg.drivers.asyncpg.connect(pg)")
    given = loop.run_until_complete(connect(pg))
    with _in_its_process(lambda: _run(loop, given.close)):
        yield given


def engine(request: pytest.FixtureRequest, pg: Database) -> Engine:
    """Return the engine of a database."""
    from freshpg.drivers import sqlalchemy
    from freshpg.drivers.sqlalchemy.choice import SYNCHRONOUS

    return sqlalchemy.engine(pg, driver=_driver(request, SYNCHRONOUS))


def session(pg: Database, engine: Engine) -> Iterator[Session]:
    """Give a session of an engine."""
    from sqlalchemy.orm import Session

    given = Session(engine)
    # At rollback everything is about to be undone: this says so to nobody, which saves a round trip.
    with _in_its_process(given.invalidate if pg.isolation == "rollback" else given.close):
        yield given


def async_engine(request: pytest.FixtureRequest, pg: Database) -> Iterator[AsyncEngine]:
    """Give an asynchronous engine, for whichever asyncio loop the test runs in."""
    from freshpg.drivers import sqlalchemy
    from freshpg.drivers.sqlalchemy.choice import ASYNCHRONOUS

    driver = _driver(request, ASYNCHRONOUS)
    loop = loop_of(request)
    if loop is None and driver == "asyncpg" and pg.isolation == "rollback":
        raise _without_loop(request, "await freshpg.drivers.asyncpg.connect(pg)")
    # Without a loop to say goodbye in, asyncpg must not keep a connection longer than it is used.
    pooled = driver != "asyncpg" or loop is not None
    given = sqlalchemy.async_engine(pg, driver=driver, pooled=pooled)
    with _in_its_process(lambda: _run(loop, given.dispose) if driver == "asyncpg" else None):
        yield given


def async_session(request: pytest.FixtureRequest, engine: AsyncEngine) -> Iterator[AsyncSession]:
    """Give a session of an asynchronous engine."""
    from sqlalchemy.ext.asyncio import AsyncSession

    loop = loop_of(request)
    if loop is None:
        raise _without_loop(request, "async with AsyncSession(pg_aengine) as session")
    given = AsyncSession(engine)
    with _in_its_process(lambda: _run(loop, given.close)):
        yield given


def session_factory(request: pytest.FixtureRequest, pg: Database) -> TestSessionFactory:
    """Return a factory of sessions."""
    from freshpg.drivers.sqlalchemy import TestSessionFactory
    from freshpg.drivers.sqlalchemy.choice import DRIVERS

    return TestSessionFactory(pg, driver=_driver(request, DRIVERS))


def _driver(request: pytest.FixtureRequest, able: Collection[str]) -> str:
    """Return the wished driver, or psycopg where that one is of the other kind."""
    from freshpg.drivers.sqlalchemy.choice import DEFAULT

    wished = wishes(request.node).driver or driver_of(request.config)
    return wished if wished in able else DEFAULT


def _without_loop(request: pytest.FixtureRequest, instead: str) -> DriverUnusable:
    return DriverUnusable(
        f"the fixture {request.fixturename} was asked for",
        on=request.node.nodeid,
        seen="no event loop is known for the test, and what the fixture gives must be closed in the loop that used it",
        todo=(
            "make the test asynchronous: async def, run by pytest-asyncio or anyio",
            f"open it in the loop: {instead}",
        ),
    )


def _run(loop: asyncio.AbstractEventLoop | None, farewell: Callable[[], Any]) -> None:
    """Say goodbye in the loop of the test; without one, the end of the lease does what can be done."""
    if loop is not None and not loop.is_closed() and not loop.is_running():
        loop.run_until_complete(farewell())


@contextmanager
def _in_its_process(close: Callable[[], object]) -> Iterator[None]:
    """Close in the end, but not in a forked child: that would end the parent's session."""
    owner_pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner_pid:
            close()
