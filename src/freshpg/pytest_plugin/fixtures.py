"""The fixtures. Bodies are one call: the manager hands out, the run remembers to whom."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.pytest_plugin.marker import wishes
from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

    from freshpg.handle import Database


@pytest.fixture
def pg(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Database ``main`` for this test, equal to its template when the test begins."""
    if gives_main(request):
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


@pytest.fixture
def pg_databases(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Database]]:
    """Databases of this test by blueprint, each leased when first looked up; ``main`` is the one of ``pg``."""
    from freshpg.pytest_plugin.databases import Databases

    run = request.config.stash[RUN]
    with ExitStack() as leases:
        databases = Databases(run, request, leases)
        with_pg = ("main",) if "pg" in getattr(request.node, "fixturenames", ()) else ()
        databases.lease((*wishes(request.node).databases, *with_pg))
        yield databases


@pytest.fixture
def pg_conn(pg: Database) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to ``pg``; what it did not commit is rolled back when the test ends."""
    connection = pg.connect()
    with _closed_by_its_process(connection.close):
        yield connection


@pytest.fixture
def pg_aconn(pg: Database) -> Iterator[psycopg.AsyncConnection[Any]]:
    """An asynchronous psycopg connection to ``pg``, for whichever asyncio loop the test runs in.

    The fixture itself is synchronous, so no plugin for asynchronous tests has to know it: psycopg ties a connection
    to no loop until it is used.
    """
    from freshpg.drivers.psycopg import connect_outside_loops, end_outside_loops

    connection = connect_outside_loops(pg)
    with _closed_by_its_process(partial(end_outside_loops, connection)):
        yield connection


def gives_main(request: pytest.FixtureRequest) -> bool:
    """Whether the test's ``main`` comes from ``pg_databases``, where both were asked for before the test began."""
    return "pg_databases" in getattr(request.node, "fixturenames", ())


def _lent(request: pytest.FixtureRequest) -> Iterator[Database]:
    with request.config.stash[RUN].lend(request) as database:
        yield database


@contextmanager
def _closed_by_its_process(close: Callable[[], None]) -> Iterator[None]:
    """Close in the end, but not in a forked child: that would end the parent's session."""
    owner_pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner_pid:
            close()
