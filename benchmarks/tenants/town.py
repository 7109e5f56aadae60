"""A server with a system database and workspaces, and the pools that are compared on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.clones import template_of
from benchmarks.inside import running
from benchmarks.schema import schema
from freshpg.core.conninfo import Conninfo
from freshpg.tenants import TenantLimits, TenantPools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.ground import Ground

ROOT = Path(__file__).parents[2]
PER_TENANT = 4


@dataclass(frozen=True, slots=True)
class Town:
    """One server; workspaces are databases ``ws_<tenant>``."""

    control: Conninfo
    pid: int
    template: str

    def text(self, database: str) -> str:
        """Return keywords of libpq as text."""
        where = self.control
        return f"host={where.host} port={where.port} user={where.user} dbname={database}"

    def of(self, tenant: str) -> str:
        """Return the address of a workspace, as text."""
        return self.text(f"ws_{tenant}")

    def keywords(self, database: str) -> dict[str, Any]:
        """Return the address of a database, as keywords."""
        return self.control.with_(dbname=database).keywords()

    def pools(self, **given: Any) -> TenantPools:
        """Return tenant pools on this server."""
        limits = given.pop("limits", TenantLimits(max_per_tenant=PER_TENANT))
        return TenantPools(self.of("{tenant}"), limits=limits, **self.options(), **given)

    def options(self) -> dict[str, Any]:
        """Return what tenant pools of both kinds are told about this server."""
        return {
            "system": self.text("app"),
            "admin": self.control.keywords(),
            "template": self.template,
        }

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        """Yield a control connection."""
        with closing(psycopg.connect(**self.control.keywords(), autocommit=True)) as connection:
            yield connection

    def clone(self, admin: psycopg.Connection, tenant: str) -> None:
        """Make a workspace as plainly as PostgreSQL can."""
        admin.execute(f"CREATE DATABASE ws_{tenant} TEMPLATE {self.template} STRATEGY file_copy")

    def remove(self, tenants: Iterable[str]) -> None:
        """Drop workspaces."""
        gone = [f"ws_{tenant}" for tenant in tenants]
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY(%s)"
        with self.admin() as admin:
            # The drop itself would look for sessions every 100 ms only.
            for _ in range(5000):
                if (admin.execute(asked, (gone,)).fetchone() or (0,))[0] == 0:
                    break
                time.sleep(0.002)
            for name in gone:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def child(self, module: str, *arguments: object) -> Any:
        """Run a module of this package in a process of its own; return the JSON it printed."""
        facts = {"host": self.control.host, "port": self.control.port, "user": self.control.user}
        given = [json.dumps({**facts, "pid": self.pid, "template": self.template})]
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.tenants.{module}", *given, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            raise RuntimeError(f"{module} {arguments}: {done.stderr[-3000:]}")
        return json.loads(done.stdout)

    @classmethod
    def told(cls, text: str) -> Town:
        """Return the town that a child was told of."""
        facts = json.loads(text)
        where = Conninfo(
            host=facts["host"], port=facts["port"], user=facts["user"], dbname="postgres"
        )
        return cls(where, facts["pid"], facts["template"])


@contextmanager
def town(ground: Ground, workspaces: int = 0, *, connections: int = 300) -> Iterator[Town]:
    """Yield a town with workspaces ``ws_t0``, ``ws_t1``, …"""
    project = ground.project(schema(10, seeded=5), settings={"max_connections": str(connections)})
    with ground.manager(project, isolation="clone") as manager:
        manager.release(manager.acquire())
        server = running(manager)
        made = Town(server.coordination, server.handle.pid, template_of(server.coordination))
        with made.admin() as admin:
            admin.execute("CREATE DATABASE app STRATEGY file_copy")
            for name in names(workspaces):
                made.clone(admin, name)
        yield made


def names(count: int) -> list[str]:
    """Return the first tenants."""
    return [f"t{number}" for number in range(count)]


def at_once(acts: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run every act in a thread of its own, begun together; return what they returned."""
    acts = list(acts)
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait(30)
        return act()

    with ThreadPoolExecutor(len(acts)) as callers:
        return list(callers.map(run, acts))


@contextmanager
def bare_pools(
    town: Town, tenants: Iterable[str], *, least: int = 1, most: int = PER_TENANT
) -> Iterator[dict[str, Any]]:
    """Yield a psycopg_pool for each tenant, opened and filled."""
    from psycopg_pool import ConnectionPool

    with ExitStack() as stack:
        pools = {}
        for tenant in tenants:
            pool = ConnectionPool(town.of(tenant), min_size=least, max_size=most, open=True)
            pools[tenant] = stack.enter_context(pool)
        for pool in pools.values():
            pool.wait(30)
        yield pools


@contextmanager
def engines(town: Town, tenants: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield an engine of SQLAlchemy's for each tenant, one connection opened; empty without SQLAlchemy."""
    try:
        from sqlalchemy import create_engine
    except ImportError:
        yield {}
        return
    made = {}
    try:
        for tenant in tenants:
            where = town.keywords(f"ws_{tenant}")
            made[tenant] = create_engine("postgresql+psycopg://", connect_args=where, pool_size=4)
            made[tenant].connect().close()
        yield made
    finally:
        for engine in made.values():
            engine.dispose()
