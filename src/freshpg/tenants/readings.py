"""What a snapshot of tenant pools says in OpenTelemetry's words. Pure; knows the names, not the library.

Names and units are those of the semantic conventions,
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools, written out here because the
package of constants moves them while they are in development. What they have no name for is below
``freshpg.tenants``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freshpg.tenants.stats import PoolStats, TenantStats

POOL = "db.client.connection.pool.name"
STATE = "db.client.connection.state"
LIMIT = "freshpg.tenants.limit"

Reading = tuple[float, dict[str, str]]
"""A value and what it belongs to."""


class Names:
    """What pools are called in attributes."""

    def __init__(self, name: str, *, per_tenant: bool) -> None:
        self.name = name
        self.per_tenant = per_tenant
        self._tenants = {POOL: name}
        self._system = {POOL: f"{name}.system"}

    def of(self, tenant: str | None) -> dict[str, str]:
        """Return the attributes of one pool."""
        if tenant is None:
            return self._system
        return {POOL: f"{self.name}/{tenant}"} if self.per_tenant else self._tenants

    def groups(self, stats: TenantStats) -> Iterator[tuple[dict[str, str], list[PoolStats]]]:
        """Yield the pools that share a name."""
        if stats.system is not None:
            yield self._system, [stats.system]
        if self.per_tenant:
            yield from ((self.of(pool.tenant), [pool]) for pool in stats.pools)
        else:
            yield self._tenants, list(stats.pools)


Read = Callable[["TenantStats", Names], Iterator[Reading]]


@dataclass(frozen=True, slots=True)
class Measure:
    """One instrument whose value is read when it is asked for."""

    name: str
    unit: str
    description: str
    read: Read


def _count(stats: TenantStats, names: Names) -> Iterator[Reading]:
    for attributes, pools in names.groups(stats):
        # The conventions know idle and used; a third value is allowed, and without it the sum would not be what the
        # server has.
        for state in ("idle", "used", "opening"):
            yield sum(getattr(pool, state) for pool in pools), {**attributes, STATE: state}


def _most(stats: TenantStats, names: Names) -> Iterator[Reading]:
    for attributes, pools in names.groups(stats):
        if attributes != {POOL: names.name}:
            yield pools[0].limit, attributes
            continue
        shares = [share for share in stats.shares.values() if share is not None]
        if len(shares) == len(stats.shares):
            yield sum(shares), attributes


def _least_idle(stats: TenantStats, names: Names) -> Iterator[Reading]:
    for attributes, _ in names.groups(stats):
        yield 0, attributes


def _pending(stats: TenantStats, names: Names) -> Iterator[Reading]:
    for attributes, pools in names.groups(stats):
        yield sum(pool.waiting for pool in pools), attributes


def _open_pools(stats: TenantStats, names: Names) -> Iterator[Reading]:
    yield stats.open_pools, {POOL: names.name}


def _evictions(stats: TenantStats, names: Names) -> Iterator[Reading]:
    yield stats.evictions, {POOL: names.name}


def _limit_hits(stats: TenantStats, names: Names) -> Iterator[Reading]:
    for limit, hits in stats.limit_hits.items():
        yield hits, {POOL: names.name, LIMIT: limit}


def _stale(stats: TenantStats, names: Names) -> Iterator[Reading]:
    yield stats.totals.stale, {POOL: names.name}


STANDS = (
    Measure("db.client.connection.count", "{connection}", "Connections, by state.", _count),
    Measure("db.client.connection.max", "{connection}", "Connections that may be open.", _most),
    Measure("db.client.connection.idle.max", "{connection}", "Connections that may rest.", _most),
    Measure("db.client.connection.idle.min", "{connection}", "Connections kept open.", _least_idle),
    Measure("db.client.connection.pending_requests", "{request}", "Callers that wait.", _pending),
    Measure("freshpg.tenants.pools", "{pool}", "Tenants with a connection open.", _open_pools),
)
"""Go up and down."""

COUNTS = (
    Measure("freshpg.tenants.evictions", "{pool}", "Pools closed to make room.", _evictions),
    Measure("freshpg.tenants.limit_hits", "{request}", "Callers that met a limit.", _limit_hits),
    Measure("freshpg.tenants.stale", "{connection}", "Connections found dead at need.", _stale),
)
"""Only go up."""
