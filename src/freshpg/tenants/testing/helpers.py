"""Helpers by the names people look for. Each takes pools of a test; with asynchronous ones, those that wait are awaited."""

from __future__ import annotations

import inspect
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from freshpg.core.backoff import delays
from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from freshpg.core.clock import Clock
    from freshpg.tenants.testing.aio import TestAsyncTenantPools
    from freshpg.tenants.testing.ground import Ground
    from freshpg.tenants.testing.pools import TestTenantPools

T = TypeVar("T")


def verify_no_leaked_connections(pools: TestTenantPools | TestAsyncTenantPools) -> None:
    """Make sure that every connection is back. Other programs' sessions are nobody's leak.

    Raises:
        TenantConnectionsLeaked: Some are not; names test, line, process id, statement and age of each.
    """
    pools.verify_no_leaked_connections()


def active_connection_count(
    pools: TestTenantPools | TestAsyncTenantPools, tenant: str | None = None
) -> int:
    """Return how many sessions these pools have open on the server, in use or resting; of one tenant where it is named."""
    return pools.active_connection_count(tenant)


@overload
def create_tenants(pools: TestTenantPools, n: int, *, prefix: str = ...) -> list[str]: ...
@overload
def create_tenants(
    pools: TestAsyncTenantPools, n: int, *, prefix: str = ...
) -> Coroutine[Any, Any, list[str]]: ...
def create_tenants(
    pools: TestTenantPools | TestAsyncTenantPools, n: int, *, prefix: str = "tenant_"
) -> list[str] | Coroutine[Any, Any, list[str]]:
    """Make ``n`` tenants that were not there, with their databases; return their names: ``tenant_1`` and so on."""
    return pools.create_tenants(n, prefix=prefix)


@overload
def cleanup_tenants(pools: TestTenantPools) -> list[str]: ...
@overload
def cleanup_tenants(pools: TestAsyncTenantPools) -> Coroutine[Any, Any, list[str]]: ...
def cleanup_tenants(
    pools: TestTenantPools | TestAsyncTenantPools,
) -> list[str] | Coroutine[Any, Any, list[str]]:
    """Drop all tenants' databases before the test ends, see that they are gone, and return whose they were."""
    return pools.cleanup_tenants()


@dataclass(frozen=True, slots=True)
class OperationTime(Generic[T]):
    """How long an operation took, in seconds, each time; and what it returned the last time."""

    times: tuple[float, ...]
    result: T

    @property
    def best(self) -> float:
        """The shortest: what it takes where nothing else disturbs."""
        return min(self.times)

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.times)

    @property
    def worst(self) -> float:
        """The longest."""
        return max(self.times)

    @property
    def total(self) -> float:
        """All together."""
        return sum(self.times)

    def __str__(self) -> str:
        return (
            f"best {self.best * 1000:.3g} ms, median {self.median * 1000:.3g} ms, "
            f"worst {self.worst * 1000:.3g} ms of {len(self.times)}"
        )


@overload
def measure_operation_time(  # type: ignore[overload-overlap]  # a coroutine is a result, too
    operation: Callable[[], Coroutine[Any, Any, T]], *, repeat: int = ..., clock: Clock = ...
) -> Coroutine[Any, Any, OperationTime[T]]: ...
@overload
def measure_operation_time(
    operation: Callable[[], T], *, repeat: int = ..., clock: Clock = ...
) -> OperationTime[T]: ...
def measure_operation_time(
    operation: Callable[[], Any], *, repeat: int = 1, clock: Clock = SYSTEM_CLOCK
) -> Any:
    """Call an operation ``repeat`` times and return how long it took. Of an asynchronous one, the result is awaited."""
    began = clock.monotonic()
    result = operation()
    if inspect.isawaitable(result):
        return _measured(operation, result, began, repeat, clock)
    times = [clock.monotonic() - began]
    for _ in range(repeat - 1):
        began = clock.monotonic()
        result = operation()
        times.append(clock.monotonic() - began)
    return OperationTime(tuple(times), result)


async def _measured(
    operation: Callable[[], Awaitable[T]],
    first: Awaitable[T],
    began: float,
    repeat: int,
    clock: Clock,
) -> OperationTime[T]:
    result = await first
    times = [clock.monotonic() - began]
    for _ in range(repeat - 1):
        began = clock.monotonic()
        result = await operation()
        times.append(clock.monotonic() - began)
    return OperationTime(tuple(times), result)


def wait_for_database_ready(
    where: str | Conninfo | TestTenantPools | TestAsyncTenantPools,
    tenant: str | None = None,
    *,
    deadline: float = 30.0,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Wait until a database answers a query: a service container's, say, or one that a test took away for a while.

    Asynchronous tests call it in a thread: ``await asyncio.to_thread(wait_for_database_ready, …)``.

    Args:
        where: Its address; or pools, whose ``tenant`` or system database is meant.
        tenant: Whose database.
        deadline: Seconds to wait.
        clock: Tells the time.

    Raises:
        WaitTimedOut: It did not answer in time; says what was seen last.
        TenantDatabaseMissing: There is no database of that tenant.
    """
    import psycopg

    address = _address(where, tenant)
    end = Deadline(deadline, clock)
    for delay in delays(0.01, limit=0.5):
        try:
            keywords: dict[str, Any] = {
                **address.keywords(),
                # libpq counts whole seconds, and at least 2.
                "connect_timeout": max(2, round(end.remaining)),
                "options": f"-c statement_timeout={max(1, int(end.remaining * 1000))}",
            }
            with psycopg.connect(**keywords) as connection:
                connection.execute("SELECT 1")
                return
        except psycopg.OperationalError as error:
            if end.expired:
                raise WaitTimedOut(
                    f"waited {deadline:g} s for a database to answer",
                    on=address.safe(),
                    seen=str(error).strip(),
                    todo=("look into the server's log", "check host, port, user and password"),
                ) from None
        clock.sleep(min(delay, end.remaining))


def _address(
    where: str | Conninfo | TestTenantPools | TestAsyncTenantPools, tenant: str | None
) -> Conninfo:
    if isinstance(where, str):
        return Conninfo.parse(where)
    if isinstance(where, Conninfo):
        return where
    ground: Ground = where.ground
    return ground.tenant_address(tenant) if tenant is not None else ground.system_address()
