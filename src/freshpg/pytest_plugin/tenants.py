"""Fixtures for applications with a database for each tenant."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.pytest_plugin.lent_pools import LentPools, end_strictly
from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from freshpg.handle import Database
    from freshpg.pytest_plugin.lent_pools import Pools
    from freshpg.tenants.testing import TestAsyncTenantPools, TestPoolManager, TestTenantPools


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


@pytest.fixture
def pg_tenants_async(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestAsyncTenantPools]:
    """``TestAsyncTenantPools`` of this test, for whichever asyncio loop it runs in."""
    from freshpg.tenants.testing import TestAsyncTenantPools

    with _manager_of_pools(request, TestAsyncTenantPools, pg_tenants_options) as pools:
        yield pools


@pytest.fixture
def pg_tenants_manager(
    request: pytest.FixtureRequest, pg_tenants_options: Mapping[str, Any]
) -> Iterator[TestPoolManager]:
    """``TestPoolManager`` of this test: several managers of pools by name, that do not see each other."""
    from freshpg.tenants.testing import TestPoolManager

    with request.config.stash[RUN].manager() as manager:
        pools = TestPoolManager(manager, test=request.node.nodeid, **pg_tenants_options)
    # Later: pools is a copy of those there are by then.
    with _lent(request, lambda: pools.pools.values(), pools.close):  # noqa: PLW0108 (as above)
        yield pools


def _pools(request: pytest.FixtureRequest, options: Mapping[str, Any]) -> Iterator[TestTenantPools]:
    from freshpg.tenants.testing import TestTenantPools

    with _manager_of_pools(request, TestTenantPools, options) as pools:
        yield pools


@contextmanager
def _manager_of_pools(
    request: pytest.FixtureRequest, kind: Callable[..., Any], options: Mapping[str, Any]
) -> Iterator[Any]:
    with ExitStack() as stack:
        manager = stack.enter_context(request.config.stash[RUN].manager())
        given = {"database": _system_of_the_test(request, options), **options}
        pools = kind(manager, test=request.node.nodeid or str(request.fixturename), **given)
    with _lent(request, lambda: (pools,), pools.end):
        yield pools


def _system_of_the_test(
    request: pytest.FixtureRequest, options: Mapping[str, Any]
) -> Database | None:
    """Return the database that the test has besides, so that it sees what the application writes to the system's."""
    from freshpg.tenants.testing.ground import LEVELS

    if request.scope != "function":
        return None
    blueprint = options.get("system", "main")
    database: Database | None = None
    if "pg" in request.fixturenames and blueprint == "main":
        database = request.getfixturevalue("pg")
    elif "pg_databases" in request.fixturenames:
        database = request.getfixturevalue("pg_databases")[blueprint]
    return database if database is not None and database.isolation in LEVELS else None


@contextmanager
def _lent(
    request: pytest.FixtureRequest, pools: Callable[[], Iterable[Pools]], end: Callable[[], object]
) -> Iterator[None]:
    """Let the run know pools for as long as they are out; then end them, but not in a forked child: its parent goes on."""
    owner_pid, run = os.getpid(), request.config.stash[RUN]
    is_shared = request.scope != "function"
    lent = LentPools(pools, request.node, str(request.fixturename), is_shared)
    with run.pools.lending(lent):
        try:
            yield
        finally:
            if os.getpid() == owner_pid:
                if run.is_strict and not is_shared:
                    end = partial(end_strictly, lent, request.node.nodeid, end)
                end()
