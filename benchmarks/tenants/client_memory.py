"""A client of its own: memory and threads of pools for many tenants, of the client and of the server. Prints JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.tenants.town import Town, bare_pools, engines, names
from freshpg.tenants import TenantLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Use = Callable[[str], None]

WORK = "SELECT count(*) FROM item_1"


def main() -> None:
    """Use every tenant in the way that is asked for, twice over, and tell what it took."""
    town, way, count = Town.told(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    rest = tuple(map(int, sys.argv[4:]))
    _make_warm(town)
    before_server, before = processes.tree(town.pid), processes.private()
    idle_threads = threading.active_count()
    with WAYS[way](town, count, *rest) as use:
        began = time.perf_counter()
        for _ in range(2):
            for tenant in names(count):
                use(tenant)
        seconds = time.perf_counter() - began
        client = processes.private() - before
        facts = {
            "client": client,
            "server": processes.tree(town.pid) - before_server,
            "threads": threading.active_count() - idle_threads,
            "backends": _backends(town),
            "seconds": seconds,
        }
    print(json.dumps(facts))


def _make_warm(town: Town) -> None:
    """Load what every way needs: the driver's libraries are no part of a pool, nor is what the server reads once."""
    import psycopg_pool  # noqa: F401 (loaded, not used)

    with engines(town, ["t0"]) as made:
        for engine in made.values():
            _alchemy(engine)
    with town.pools() as pools, bare_pools(town, ["t0"]) as bare:
        pools.execute("t0", WORK)
        with bare["t0"].connection() as connection:
            connection.execute(WORK).fetchall()


def _backends(town: Town) -> int:
    with town.admin() as admin:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'ws%' OR datname = 'app'"
        return int((admin.execute(asked).fetchone() or (0,))[0])


def _alchemy(engine: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(WORK).scalar()


@contextmanager
def _ours(town: Town, count: int, connections: int) -> Iterator[Use]:
    limits = TenantLimits(max_connections=connections or None, system_connections=2)
    with town.pools(limits=limits) as pools:
        pools.execute_system("SELECT 1")
        yield lambda tenant: _executed(pools, tenant)


def _executed(pools: Any, tenant: str) -> None:
    pools.execute(tenant, WORK)


@contextmanager
def _bare(town: Town, count: int, least: int) -> Iterator[Use]:
    with bare_pools(town, names(count), least=least) as pools:

        def use(tenant: str) -> None:
            with pools[tenant].connection() as connection:
                connection.execute(WORK).fetchall()

        yield use


@contextmanager
def _engines(town: Town, count: int) -> Iterator[Use]:
    with engines(town, names(count)) as made:
        yield lambda tenant: _alchemy(made[tenant])


@contextmanager
def _null(town: Town, count: int) -> Iterator[Use]:
    from psycopg_pool import NullConnectionPool

    with ExitStack() as stack:
        pools = {
            tenant: stack.enter_context(NullConnectionPool(town.of(tenant), open=True))
            for tenant in names(count)
        }

        def use(tenant: str) -> None:
            with pools[tenant].connection() as connection:
                connection.execute(WORK).fetchall()

        yield use


WAYS: dict[str, Any] = {"ours": _ours, "bare": _bare, "null": _null, "sqlalchemy": _engines}

if __name__ == "__main__":
    main()
