"""What pools are doing, as snapshots."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from freshpg.tenants.parts import Counters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.tenants.ledger import Ledger
    from freshpg.tenants.parts import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """One pool at one moment; ``tenant`` is ``None`` for the system pool."""

    tenant: str | None
    server: str
    limit: int
    """Connections it may have."""
    idle: int
    used: int
    opening: int
    waiting: int
    """Callers in its queue."""
    checkouts: int
    waits: int
    timeouts: int
    opened: int
    closed: int
    failed: int
    stale: int
    expired: int
    evicted: int
    wait_seconds: float
    open_seconds: float
    use_seconds: float

    @property
    def connections(self) -> int:
        """Connections, those being opened included."""
        return self.idle + self.used + self.opening


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStats:
    """All pools of one manager at one moment."""

    pools: tuple[PoolStats, ...]
    """Those of tenants, the least recently used first."""
    system: PoolStats | None
    open_pools: int
    """Tenants with a connection."""
    max_pools: int | None
    idle: int
    used: int
    opening: int
    waiting: int
    totals: Counters
    """What all pools counted, also those closed by now."""
    limit_hits: Mapping[str, int]
    """How often a caller could not be served at once, by the limit it met."""
    capacities: Mapping[str, int | None]
    """Connections that each server has for users, where it was asked."""
    shares: Mapping[str, int | None]
    """Connections that tenants may have together, by server; ``None`` while there is no bound."""

    @property
    def connections(self) -> int:
        """Connections in all, those being opened included."""
        return self.idle + self.used + self.opening

    @property
    def evictions(self) -> int:
        """Pools closed to make room for others."""
        return self.totals.evicted

    def of(self, tenant: str | None) -> PoolStats | None:
        """Return one pool's; ``None`` when it has neither connections nor callers."""
        if tenant is None:
            return self.system
        return next((pool for pool in self.pools if pool.tenant == tenant), None)


def snapshot(ledger: Ledger[Any]) -> TenantStats:
    """Return what a ledger says now; called under the engine's lock."""
    every = [_of_pool(pool) for pool in ledger.every()]
    totals = Counters()
    totals.add(ledger.retired)
    for pool in ledger.every():
        totals.add(pool.counters)
    return TenantStats(
        pools=tuple(pool for pool in every if pool.tenant is not None),
        system=next((pool for pool in every if pool.tenant is None), None),
        open_pools=ledger.open_pools,
        max_pools=ledger.limits.max_pools,
        idle=sum(pool.idle for pool in every),
        used=sum(pool.used for pool in every),
        opening=sum(pool.opening for pool in every),
        waiting=ledger.waiting,
        totals=totals,
        limit_hits={str(limit): hits for limit, hits in ledger.limit_hits.items()},
        capacities={server.key: server.capacity for server in ledger.servers.values()},
        shares={server.key: server.budget.limit for server in ledger.servers.values()},
    )


def _of_pool(pool: Pool[Any]) -> PoolStats:
    counted = {one.name: getattr(pool.counters, one.name) for one in fields(Counters)}
    return PoolStats(
        tenant=pool.tenant,
        server=pool.server.key,
        limit=pool.limit,
        idle=len(pool.idle),
        used=len(pool.leased),
        opening=pool.opening,
        waiting=len(pool.waiting),
        **counted,
    )
