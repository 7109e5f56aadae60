"""What pools of one test stand on: a set of tenants' databases, a system database, and a share of the connections."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import TenantDatabaseMissing
from freshpg.tenancy import AT_ONCE
from freshpg.tenants.address import Address
from freshpg.tenants.lease import pid_of, place_of
from freshpg.tenants.lifecycle import Lifecycle
from freshpg.tenants.testing.budget import budget_of, limits_for
from freshpg.tenants.testing.leaks import find_leaks, leaked
from freshpg.tenants.testing.questions import capacity_of, open_ends_in, sessions_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from freshpg.core.conninfo import Conninfo
    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager
    from freshpg.postgres.database_facts import Session
    from freshpg.tenancy import TenantDatabases
    from freshpg.tenants.address import Addresses
    from freshpg.tenants.lease import Lease
    from freshpg.tenants.limits import TenantLimits
    from freshpg.tenants.testing.leaks import Leak
    from freshpg.tenants.testing.questions import OpenEnd

TENANT, SYSTEM = "tenant", "main"
"""Blueprints by default: a project that has no blueprint ``tenant`` uses ``main`` for both."""

LEVELS = frozenset({"reset", "clone", "server"})
"""Levels of isolation at which a pool may have connections of its own to the system database, and commit."""

_PATIENCE = 300.0
"""Seconds for one of the databases made together; each statement ends long before."""
_LOOKS, _PAUSE = 200, 0.01
"""A closed session shows until the server has ended it: looks, and seconds between them."""

_numbers = itertools.count(1)


class Ground:
    """Databases for one manager of pools; whoever makes it ends it.

    Args:
        manager: Where databases come from; started if it was not. By default the current project's, stopped at the end.
        tenant: Blueprint of tenants' databases; by default ``tenant`` where there is one, else ``main``.
        system: Blueprint of the system database, leased when it is first used.
        database: A system database that is leased already, instead.
        test: Who uses them, for errors.
    """

    def __init__(
        self,
        manager: DatabaseManager | None = None,
        *,
        tenant: str = "",
        system: str = SYSTEM,
        database: Database | None = None,
        test: str = "",
    ) -> None:
        self.test = test
        self.application_name = f"freshpg tenants {os.getpid()}-{next(_numbers)}"
        self.ended = False
        self._owns_manager = manager is None
        if manager is None:
            from freshpg.manager import DatabaseManager

            manager = DatabaseManager.from_project()
        self._manager = manager
        self._system = system
        self._database = database
        self._leased: Database | None = None
        self._lock = threading.Lock()
        blueprint = tenant or (TENANT if TENANT in manager.blueprints else SYSTEM)
        try:
            self.databases = manager.tenant_databases(blueprint, test=test)
            self._budget = budget_of(manager, partial(capacity_of, self.databases))
        except BaseException:
            self._stop_own_manager()
            raise
        self._share = self._budget.take()

    @property
    def server(self) -> str:
        """Host and port, as one word, as tenant pools tell servers apart."""
        return Address(None, self.databases.server.keywords(), 0).server

    @property
    def limits(self) -> TenantLimits:
        """Limits that keep all pools of all workers below what the server has."""
        return limits_for(self._share)

    def location(self, tenant: str) -> Mapping[str, Any]:
        """Return where pools look for a tenant's database; one that was not made is missing there, as in production."""
        address = self.databases.address_of(tenant) or self.databases.server.with_(
            dbname=self.databases.nobodys
        )
        return address.keywords()

    def tenant_address(self, tenant: str) -> Conninfo:
        """Return where a tenant's database is.

        Raises:
            TenantDatabaseMissing: It has none.
        """
        address = self.databases.address_of(tenant)
        if address is None:
            raise TenantDatabaseMissing(
                "the database of a tenant was asked for",
                on=repr(tenant),
                seen=f"this test has tenants {', '.join(map(repr, self.databases.tenants)) or 'none'}",
                todo=(
                    f"pools.ensure_database({tenant!r}) makes it",
                    "create_tenants(pools, n) makes several",
                ),
                tenant=tenant,
            )
        return address

    def system_address(self) -> Conninfo:
        """Return where the system database is; it is leased now if it was not."""
        with self._lock:
            database = self._database or self._leased
            if database is None:
                database = self._leased = self._lease()
            return database.conninfo

    def create(self, n: int, prefix: str) -> list[str]:
        """Make databases for ``n`` tenants with new names."""
        there = self.databases.tenants
        free = (name for name in map(f"{prefix}{{}}".format, itertools.count(1)))
        tenants = list(itertools.islice((name for name in free if name not in there), max(0, n)))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for made in [threads.submit(self.databases.create, tenant) for tenant in tenants]:
                made.result(_PATIENCE)
        return tenants

    def sessions(self, tenant: str | None = None) -> list[tuple[str | None, Session]]:
        """Return the sessions of these pools, each with its tenant; of one tenant where it is named."""
        tenants: dict[str, str | None] = {
            name: found for found, name in self.databases.tenants.items() if tenant in {None, found}
        }
        system = self._database or self._leased
        others = [system.name] if system is not None and tenant is None else []
        tenants.update(dict.fromkeys(others))
        return [
            (tenants[database], session)
            for database, session in sessions_in(self.databases, *others)
            if session.application == self.application_name and database in tenants
        ]

    def open_ends(self) -> list[OpenEnd]:
        """Return who is in the middle of something there, or holds an advisory lock, whoever it is.

        A system database that was given is looked at by whoever leased it.
        """
        return open_ends_in(self.databases, [self._leased.name] if self._leased else [])

    def keep(self, why: str) -> dict[str | None, str]:
        """Leave databases for inspection when these pools end; return the names they will have, by tenant.

        As many tenants' as the project keeps, those made last; the system's (``None``) where it was leased here.
        """
        kept: dict[str | None, str] = dict(self.databases.keep(why).items())
        if self._leased is not None:
            kept[None] = self._leased.keep(why)
        return kept

    def leaks(self, leases: Sequence[Lease], known: Collection[int]) -> list[Leak]:
        """Return what is not back. A session that was just closed may show for a moment: it is waited for."""
        for attempt in itertools.count():
            found = find_leaks(self.test, leases, self.sessions(), known)
            strays = [leak for leak in found if not leak.line and not leak.owner]
            if not strays or attempt == _LOOKS:
                return found
            SYSTEM_CLOCK.sleep(_PAUSE)
        return []

    def verify(self, leases: Sequence[Lease], known: Collection[int]) -> None:
        """Make sure that everything is back.

        Raises:
            TenantConnectionsLeaked: It is not.
        """
        leaks = self.leaks(leases, known)
        if leaks:
            raise leaked(self.test, leaks)

    def settle(self, engine: Any, addresses: Addresses) -> None:
        """Tell an engine what the server has: to ask would lease the system database, and open a connection more."""
        with engine.lock:
            engine.ledger.set_capacity(self.server, self._budget.capacity, system=True)
        engine._system_measured = True  # noqa: SLF001 (this and the engine are one, on another ground)
        # Tenants' databases have names of their own here; comparing would lease the system database.
        addresses.may_lead_to_system = False

    def end(self, leases: Sequence[Lease] = ()) -> None:
        """Drop all databases with whoever is in them, see that they are gone, and give the system database back.

        Raises:
            TenantConnectionsLeaked: Pools that are closed by now still had connections out, or on the server.
        """
        self.ended = True
        try:
            leaks = self.leaks(leases, ())
        finally:
            self._take_down()
        if leaks:
            raise leaked(self.test, leaks)

    def _take_down(self) -> None:
        self._budget.give_back(self._share)
        try:
            self.databases.close()
        finally:
            lease, self._leased = self._leased, None
            if lease is not None:
                self._manager.release(lease)
            self._stop_own_manager()

    def _stop_own_manager(self) -> None:
        if self._owns_manager:
            self._manager.stop()

    def _lease(self) -> Database:
        settings = self._manager.settings
        level = settings.isolation
        if self._system in settings.databases:
            level = settings.database(self._system).isolation or level
        # One connection that never commits, or one that only reads, is no database for a pool.
        chosen = level if level in LEVELS else "reset"
        return self._manager.acquire(self._system, isolation=chosen, test=self.test)


class LentDatabases(Lifecycle):
    """Makes and drops tenants' databases through the manager, where an application's pools do it themselves."""

    def __init__(self, databases: TenantDatabases, addresses: Addresses) -> None:
        super().__init__(addresses, None, None)
        self._databases = databases

    def ensure(self, tenant: str, seconds: float) -> bool:  # noqa: ARG002 (as in production)
        """Make a tenant's database unless there is one; return whether it was made now."""
        self._addresses.of(tenant)
        there = self._databases.address_of(tenant) is not None
        self._databases.create(tenant)
        return not there

    def drop(self, tenant: str, seconds: float) -> bool:  # noqa: ARG002 (as in production)
        """Drop a tenant's database with every session in it; ``False`` when there is none."""
        return self._databases.drop(tenant)


def last_place(engine: Any, pid: int) -> str:
    """Return the line that took a connection of these pools last; empty when it is none of theirs."""
    with engine.lock:
        for pool in engine.ledger.every():
            for member in (*pool.idle, *pool.leased):
                place = place_of(member)
                if place is not None and pid_of(member.connection) == pid:
                    return f"{place[0]}:{place[1]}"
    return ""


def pids_at_rest(engine: Any) -> set[int]:
    """Return the process ids of connections that rest in a pool."""
    with engine.lock:
        pools = engine.ledger.every()
        return {pid_of(member.connection) for pool in pools for member in pool.idle}
