"""Fixtures for drivers and object mappers; each driver is imported by the first test that asks for it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.core.errors import DriverUnusable
from freshpg.pytest_plugin.loops import loop_of
from freshpg.pytest_plugin.marker import wishes
from freshpg.pytest_plugin.options import driver_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterator

    import asyncpg
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from freshpg.drivers.sqlalchemy import TestSessionFactory
    from freshpg.handle import Database


@pytest.fixture
def pg_asyncpg(request: pytest.FixtureRequest, pg: Database) -> Iterator[asyncpg.Connection[Any]]:
    """An asyncpg connection to ``pg``, in the event loop of the test."""
    from freshpg.drivers.asyncpg import connect

    loop = loop_of(request)
    if loop is None:
        raise _without_loop(request, "await freshpg.drivers.asyncpg.connect(pg)")
    connection = loop.run_until_complete(connect(pg))
    with _in_its_process(lambda: _run(loop, connection.close)):
        yield connection


@pytest.fixture
def pg_engine(request: pytest.FixtureRequest, pg: Database) -> Engine:
    """A SQLAlchemy engine on ``pg``, kept from test to test; with isolation ``rollback``, on its one session."""
    from freshpg.drivers.sqlalchemy import engine
    from freshpg.drivers.sqlalchemy.choice import SYNCHRONOUS

    return engine(pg, driver=_driver(request, SYNCHRONOUS))


@pytest.fixture
def pg_session(pg: Database, pg_engine: Engine) -> Iterator[Session]:
    """A SQLAlchemy session on ``pg``; what it did not commit is rolled back when the test ends."""
    from sqlalchemy.orm import Session

    session = Session(pg_engine)
    # At rollback everything is about to be undone: this says so to nobody, which saves a round trip.
    with _in_its_process(session.invalidate if pg.isolation == "rollback" else session.close):
        yield session


@pytest.fixture
def pg_aengine(request: pytest.FixtureRequest, pg: Database) -> Iterator[AsyncEngine]:
    """An asynchronous SQLAlchemy engine on ``pg``, for whichever asyncio loop the test runs in."""
    from freshpg.drivers.sqlalchemy import async_engine
    from freshpg.drivers.sqlalchemy.choice import ASYNCHRONOUS

    driver = _driver(request, ASYNCHRONOUS)
    loop = loop_of(request)
    if loop is None and driver == "asyncpg" and pg.isolation == "rollback":
        raise _without_loop(request, "await freshpg.drivers.asyncpg.connect(pg)")
    # Without a loop to say goodbye in, asyncpg must not keep a connection longer than it is used.
    engine = async_engine(pg, driver=driver, pooled=driver != "asyncpg" or loop is not None)
    with _in_its_process(lambda: _run(loop, engine.dispose) if driver == "asyncpg" else None):
        yield engine


@pytest.fixture
def pg_asession(request: pytest.FixtureRequest, pg_aengine: AsyncEngine) -> Iterator[AsyncSession]:
    """An asynchronous SQLAlchemy session on ``pg``; what it did not commit is rolled back when the test ends."""
    from sqlalchemy.ext.asyncio import AsyncSession

    loop = loop_of(request)
    if loop is None:
        raise _without_loop(request, "async with AsyncSession(pg_aengine) as session")
    session = AsyncSession(pg_aengine)
    with _in_its_process(lambda: _run(loop, session.close)):
        yield session


@pytest.fixture
def pg_session_factory(request: pytest.FixtureRequest, pg: Database) -> TestSessionFactory:
    """``TestSessionFactory`` on ``pg``: sessions with automatic rollback, synchronous and asynchronous."""
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
