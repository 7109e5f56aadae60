"""``TestAsyncTenantPools``: the asynchronous pools of an application, on databases that belong to one test."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.errors import TenantHeld
from freshpg.tenants.aio import AsyncTenantPools
from freshpg.tenants.books import SYSTEM
from freshpg.tenants.failures import closed
from freshpg.tenants.testing.ground import Ground, LentDatabases, pids_at_rest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager
    from freshpg.tenants.lifecycle import Lifecycle
    from freshpg.tenants.limits import TenantLimits


class TestAsyncTenantPools(AsyncTenantPools):
    """What ``TestTenantPools`` is, for asyncio: the same arguments, the verbs awaited.

    It belongs to no event loop, and is made in none: what takes long is done in threads.
    """

    __test__ = False

    def __init__(
        self,
        manager: DatabaseManager | None = None,
        *,
        tenant: str = "",
        system: str = "main",
        database: Database | None = None,
        test: str = "",
        limits: TenantLimits | None = None,
        **options: Any,
    ) -> None:
        self.ground = Ground(manager, tenant=tenant, system=system, database=database, test=test)
        try:
            super().__init__(
                self.ground.location,
                system=lambda: self.ground.system_address().keywords(),
                limits=limits or self.ground.limits,
                application_name=self.ground.application_name,
                # Every checkout writes its line down; nobody looks after it in the background.
                leak_after=inf,
                **options,
            )
        except BaseException:
            self.ground.end()
            raise
        self._lent = LentDatabases(self.ground.databases, self._addresses)
        self.ground.settle(self._engine, self._addresses)

    @property
    def databases(self) -> Mapping[str, str]:
        """Names of the databases there are, by tenant, in the order they were made."""
        return self.ground.databases.tenants

    async def open(self) -> Self:
        """Ask nothing: what the server has is known. Raises as in production when it is closed."""
        if self.closed:
            raise closed(SYSTEM)
        return self

    async def create_tenants(self, n: int, *, prefix: str = "tenant_") -> list[str]:
        """Make ``n`` tenants that were not there, with their databases; return their names."""
        return await asyncio.to_thread(self.ground.create, n, prefix)

    async def cleanup_tenants(self) -> list[str]:
        """Drop all tenants' databases now, see that they are gone, and return whose they were."""
        tenants = list(self.databases)
        for tenant in tenants:
            await self.close_tenant(tenant)
        await asyncio.to_thread(self.ground.databases.clear)
        return tenants

    def active_connection_count(self, tenant: str | None = None) -> int:
        """Return how many sessions the server shows of these pools, or of one tenant's; not awaited."""
        return len(self.ground.sessions(tenant))

    def keep(self, why: str) -> Mapping[str | None, str]:
        """Leave databases for inspection when these pools end; return the names they will have, by tenant; not awaited.

        As many tenants' as the project keeps, those made last; the system's (``None``) where these pools leased it.
        """
        return self.ground.keep(why)

    def verify_no_leaked_connections(self) -> None:
        """Make sure that every connection is back; not awaited.

        Raises:
            TenantConnectionsLeaked: Some are not; names test, line, process id, statement and age of each.
        """
        self.ground.verify(self.leases(), pids_at_rest(self._engine))

    async def close(self, deadline: float = 30.0) -> None:
        """Close all connections, waiting ``deadline`` seconds for those in use; drop all databases. Again is fine.

        Raises:
            TenantConnectionsLeaked: Connections were still in use then; everything is gone all the same.
        """
        if self.ground.ended:
            return
        with suppress(TenantHeld):
            await super().close(deadline)
        await asyncio.to_thread(self.ground.end, self.leases())

    def end(self) -> None:
        """Do what :meth:`close` does, at once, in any loop or none. Raises as that does."""
        if self.ground.ended:
            return
        engine = self._engine
        with engine.lock:
            outcome = engine.ledger.close(engine.monotonic())
        engine.carry_out(outcome)
        self.ground.end(self.leases())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close(0.0)

    def _life(self, deadline: float) -> Lifecycle:  # noqa: ARG002 (as in production)
        return self._lent
