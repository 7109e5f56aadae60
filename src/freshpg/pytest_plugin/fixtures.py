"""The fixtures, as pytest has to know them in every run; what each does is imported when a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import asyncpg
    import psycopg
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from freshpg.data import TestData
    from freshpg.drivers.sqlalchemy import TestSessionFactory
    from freshpg.handle import Database
    from freshpg.tenants.testing import TestAsyncTenantPools, TestPoolManager, TestTenantPools
    from freshpg.testing import FaultyServer


@pytest.fixture
def pg(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` for this test, equal to its template when the test begins."""
    if "pg_databases" in getattr(request.node, "fixturenames", ()):
        # Leased with the others as a set.
        yield request.getfixturevalue("pg_databases")["main"]
        return
    yield from _lent(request)


@pytest.fixture(scope="class")
def pg_class(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` shared by the tests of a class."""
    yield from _lent(request)


@pytest.fixture(scope="module")
def pg_module(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` shared by the tests of a module."""
    yield from _lent(request)


@pytest.fixture(scope="package")
def pg_package(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` shared by the tests of a package."""
    yield from _lent(request)


@pytest.fixture(scope="session")
def pg_run(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` shared by all tests of the run; under xdist by those of a worker."""
    yield from _lent(request)


def _lent(request: pytest.FixtureRequest) -> Iterator[Database]:
    with request.config.stash[RUN].lending.lend(request) as database:
        yield database


@pytest.fixture
def pg_databases(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Database]]:
    """Databases of this test by blueprint, each leased when first looked up; ``main`` is the one of ``pg``."""
    from freshpg.pytest_plugin.databases import databases_of

    yield from databases_of(request)


@pytest.fixture
def pg_conn(pg: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to ``pg``; what it did not commit is rolled back when the test ends."""
    from freshpg.pytest_plugin.driver_fixtures import connection

    yield from connection(pg)


@pytest.fixture
def pg_aconn(pg: Database) -> Iterator[psycopg.AsyncConnection[Any]]:
    """An asynchronous psycopg connection to ``pg``, for whichever asyncio loop the test runs in.

    The fixture itself is synchronous, so no plugin for asynchronous tests has to know it: psycopg ties a connection
    to no loop until it is used.
    """
    from freshpg.pytest_plugin.driver_fixtures import async_connection

    yield from async_connection(pg)


@pytest.fixture
def pg_asyncpg(request: pytest.FixtureRequest, pg: Database) -> Iterator[asyncpg.Connection[Any]]:
    """An asyncpg connection to ``pg``, in the event loop of the test."""
    from freshpg.pytest_plugin.driver_fixtures import asyncpg_connection

    yield from asyncpg_connection(request, pg)


@pytest.fixture
def pg_engine(request: pytest.FixtureRequest, pg: Database) -> Engine:
    """A SQLAlchemy engine on ``pg``, kept from test to test; with isolation ``rollback``, on its one session."""
    from freshpg.pytest_plugin.driver_fixtures import engine

    return engine(request, pg)


@pytest.fixture
def pg_session(pg: Database, pg_engine: Engine) -> Iterator[Session]:
    """A SQLAlchemy session on ``pg``; what it did not commit is rolled back when the test ends."""
    from freshpg.pytest_plugin.driver_fixtures import session

    yield from session(pg, pg_engine)


@pytest.fixture
def pg_aengine(request: pytest.FixtureRequest, pg: Database) -> Iterator[AsyncEngine]:
    """An asynchronous SQLAlchemy engine on ``pg``, for whichever asyncio loop the test runs in."""
    from freshpg.pytest_plugin.driver_fixtures import async_engine

    yield from async_engine(request, pg)


@pytest.fixture
def pg_asession(request: pytest.FixtureRequest, pg_aengine: AsyncEngine) -> Iterator[AsyncSession]:
    """An asynchronous SQLAlchemy session on ``pg``; what it did not commit is rolled back when the test ends."""
    from freshpg.pytest_plugin.driver_fixtures import async_session

    yield from async_session(request, pg_aengine)


@pytest.fixture
def pg_session_factory(request: pytest.FixtureRequest, pg: Database) -> TestSessionFactory:
    """``TestSessionFactory`` on ``pg``: sessions with automatic rollback, synchronous and asynchronous."""
    from freshpg.pytest_plugin.driver_fixtures import session_factory

    return session_factory(request, pg)


@pytest.fixture
def pg_data(pg: Database, request: pytest.FixtureRequest) -> Iterator[TestData]:
    """Rows of ``pg``: set up, verify, remove. Paths of files begin at the project's root."""
    from freshpg.data import TestData

    with TestData(pg, root=request.config.stash[RUN].lending.root) as data:
        yield data


@pytest.fixture
def pg_faulty(pg: Database) -> Iterator[FaultyServer]:
    """A ``FaultyServer`` in front of ``pg``: the same database through a connection that can be made bad."""
    from freshpg.testing import FaultyServer

    with FaultyServer(pg) as faulty:
        yield faulty


@pytest.fixture(scope="session")
def pg_tenants_options() -> Mapping[str, Any]:
    """What pools of tests are made with: arguments of ``TestTenantPools``. For a ``conftest.py`` to override."""
    return {}


@pytest.fixture
def pg_tenants(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestTenantPools]:
    """``TestTenantPools`` of this test: its tenants' databases are gone when it ends."""
    yield from _pools(request, pg_tenants_options)


@pytest.fixture(scope="class")
def pg_tenants_class(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestTenantPools]:
    """``TestTenantPools`` shared by the tests of a class."""
    yield from _pools(request, pg_tenants_options)


@pytest.fixture(scope="module")
def pg_tenants_module(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestTenantPools]:
    """``TestTenantPools`` shared by the tests of a module."""
    yield from _pools(request, pg_tenants_options)


@pytest.fixture(scope="package")
def pg_tenants_package(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestTenantPools]:
    """``TestTenantPools`` shared by the tests of a package."""
    yield from _pools(request, pg_tenants_options)


@pytest.fixture(scope="session")
def pg_tenants_run(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestTenantPools]:
    """``TestTenantPools`` shared by all tests of the run; under xdist by those of a worker."""
    yield from _pools(request, pg_tenants_options)


def _pools(request: pytest.FixtureRequest, options: Mapping[str, Any]) -> Iterator[TestTenantPools]:
    from freshpg.pytest_plugin.tenants import pools

    yield from pools(request, options)


@pytest.fixture
def pg_tenants_async(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestAsyncTenantPools]:
    """``TestAsyncTenantPools`` of this test, for whichever asyncio loop it runs in."""
    from freshpg.pytest_plugin.tenants import async_pools

    yield from async_pools(request, pg_tenants_options)


@pytest.fixture
def pg_tenants_manager(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestPoolManager]:
    """``TestPoolManager`` of this test: several managers of pools by name, that do not see each other."""
    from freshpg.pytest_plugin.tenants import pool_manager

    yield from pool_manager(request, pg_tenants_options)
