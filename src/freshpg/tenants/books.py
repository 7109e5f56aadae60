"""What is open where, and how much may be: the pools of tenants, their servers, and the limits of both. Pure.

A *unit* is the right to one connection of a server.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from freshpg.tenants.parts import Budget, Pool, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.tenants.limits import TenantLimits
    from freshpg.tenants.parts import Member

C = TypeVar("C")

LimitName = Literal[
    "max_per_tenant", "max_pools", "max_connections", "system_connections", "max_waiting"
]

SYSTEM = None
"""Stands for the system pool wherever a tenant is named."""


class Books(Generic[C]):
    """The pools of one manager, and what may still be opened."""

    def __init__(self, limits: TenantLimits) -> None:
        self.limits = limits
        # The least recently used first: in order of the last return.
        self.pools: OrderedDict[str | None, Pool[C]] = OrderedDict()
        self.moved: set[Pool[C]] = set()
        """Pools that tenants had on servers they were moved away from, until the last connection came back."""
        self.servers: dict[str, Server] = {}
        self.open_pools = 0
        self._system_budget = Budget(limits.system_connections)

    def every(self) -> Iterator[Pool[C]]:
        """Every pool, those of tenants that moved included."""
        yield from self.pools.values()
        yield from self.moved

    @property
    def out(self) -> int:
        """Connections in use or being opened."""
        return sum(pool.out for pool in self.every())

    @property
    def opening(self) -> int:
        """Connections being opened."""
        return sum(pool.opening for pool in self.every())

    def out_of(self, tenant: str | None) -> int:
        """Connections of one tenant in use or being opened."""
        pool = self.pools.get(tenant)
        before = sum(other.out for other in self.moved if other.tenant == tenant)
        return before + (pool.out if pool else 0)

    def leased(self) -> Iterator[Member[C]]:
        """Every connection in use."""
        for pool in self.every():
            yield from pool.leased

    def set_capacity(self, server: str, units: int, *, system: bool = False) -> None:
        """Say how many connections a server has for users, and whether the system pool's share is among them."""
        home = self._server(server)
        home.capacity = units
        home.budget.limit = self._tenants_share(units, system=system)

    def blocker(self, pool: Pool[C]) -> LimitName:
        """Return the limit that a request of this pool meets first."""
        if pool.size >= pool.limit:
            return "max_per_tenant" if pool.tenant is not SYSTEM else "system_connections"
        return "max_pools" if self._needs_another_to_go(pool) else "max_connections"

    def allowed(self, limit: LimitName, pool: Pool[C]) -> int | None:
        """Return the figure of a limit, as it is for one pool."""
        if limit in {"max_per_tenant", "system_connections"}:
            return pool.limit
        if limit == "max_connections":
            return pool.budget.limit
        return self.limits.max_pools if limit == "max_pools" else self.limits.max_waiting

    def has_room_for(self, tenant: str) -> bool:
        """Whether a tenant can have a connection while nobody gives way: one it has, or one more."""
        pool = self.pools.get(tenant)
        if pool is not None and pool.size:
            return True
        most = self.limits.max_pools
        if most is not None and self.open_pools >= most:
            return False
        return not any(server.budget.full for server in self.servers.values())

    def knows_capacity(self, server: str) -> bool:
        """Whether it was said how many connections a server has."""
        found = self.servers.get(server)
        return found is not None and found.capacity is not None

    def _server(self, key: str) -> Server:
        server = self.servers.get(key)
        if server is None:
            server = Server(key, self._tenants_share(None, system=False))
            self.servers[key] = server
        return server

    def _tenants_share(self, units: int | None, *, system: bool) -> int | None:
        bounds = [bound for bound in (units, self.limits.max_connections) if bound is not None]
        if not bounds:
            return None
        return max(1, min(bounds) - (self.limits.system_connections if system else 0))

    def _pool(self, tenant: str | None, server: str, limit: int) -> Pool[C]:
        pool = self.pools.get(tenant)
        if pool is None:
            home = self._server(server)
            budget = self._system_budget if tenant is SYSTEM else home.budget
            pool = self.pools[tenant] = Pool(tenant, home, budget, limit)
        pool.limit = limit
        return pool

    def _needs_another_to_go(self, pool: Pool[C]) -> bool:
        most = self.limits.max_pools
        return (
            most is not None
            and self.open_pools >= most
            and not pool.is_open
            and pool.tenant is not SYSTEM
        )

    def _resting_pool(self) -> Pool[C] | None:
        """The least recently used pool of a tenant that nobody holds."""
        for pool in self.pools.values():
            if pool.idle and not pool.leased and not pool.opening and pool.tenant is not SYSTEM:
                return pool
        return None

    def _resting_member(self, budget: Budget) -> Member[C] | None:
        """The connection to give up for somebody else: of a pool that nobody holds, before one that is used beside."""
        if not budget.idle:
            return None
        beside = None
        for pool in self.pools.values():
            if pool.idle and pool.budget is budget:
                if not pool.leased and not pool.opening:
                    return pool.idle[0]
                beside = beside or pool.idle[0]
        return beside
