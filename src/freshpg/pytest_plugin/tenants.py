"""What the fixtures for applications with a database for each tenant do."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from freshpg.pytest_plugin.lent_pools import LentPools, end_strictly
from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pytest

    from freshpg.handle import Database
    from freshpg.pytest_plugin.lent_pools import Pools
    from freshpg.tenants.testing import TestAsyncTenantPools, TestPoolManager, TestTenantPools


def pools(request: pytest.FixtureRequest, options: Mapping[str, Any]) -> Iterator[TestTenantPools]:
    """Give pools for the scope of a fixture."""
    from freshpg.tenants.testing import TestTenantPools

    with _manager_of_pools(request, TestTenantPools, options) as given:
        yield given


def async_pools(
    request: pytest.FixtureRequest, options: Mapping[str, Any]
) -> Iterator[TestAsyncTenantPools]:
    """Give asynchronous pools."""
    from freshpg.tenants.testing import TestAsyncTenantPools

    with _manager_of_pools(request, TestAsyncTenantPools, options) as given:
        yield given


def pool_manager(
    request: pytest.FixtureRequest, options: Mapping[str, Any]
) -> Iterator[TestPoolManager]:
    """Give a manager of several pools."""
    from freshpg.tenants.testing import TestPoolManager

    with request.config.stash[RUN].lending.manager() as manager:
        given = TestPoolManager(manager, test=request.node.nodeid, **options)
    # Later: pools is a copy of those there are by then.
    with _lent(request, lambda: given.pools.values(), given.close):  # noqa: PLW0108 (as above)
        yield given


@contextmanager
def _manager_of_pools(
    request: pytest.FixtureRequest, kind: Callable[..., Any], options: Mapping[str, Any]
) -> Iterator[Any]:
    with ExitStack() as stack:
        manager = stack.enter_context(request.config.stash[RUN].lending.manager())
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
    owner_pid, lending = os.getpid(), request.config.stash[RUN].lending
    is_shared = request.scope != "function"
    lent = LentPools(pools, request.node, str(request.fixturename), is_shared)
    with lending.pools.lending(lent):
        try:
            yield
        finally:
            if os.getpid() == owner_pid:
                if lending.is_strict and not is_shared:
                    end = partial(end_strictly, lent, request.node.nodeid, end)
                end()
