"""Tenant pools as OpenTelemetry metrics; nothing is measured, and nothing imported, until :func:`instrument` is called.

The instruments are described in :mod:`freshpg.tenants.readings`.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from freshpg.core.errors import UsageInvalid
from freshpg.tenants.readings import COUNTS, STANDS, Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import (
        CallbackOptions,
        Histogram,
        Meter,
        MeterProvider,
        Observation,
    )

    from freshpg.tenants.readings import Measure, Reading
    from freshpg.tenants.stats import TenantStats

# Seconds. A checkout takes microseconds, a wait for one up to half a minute; the defaults of OpenTelemetry are for
# milliseconds.
_BOUNDS = (
    0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip


class Observer(Protocol):
    """Is told of what takes time, outside every lock; ``tenant`` is ``None`` for the system pool."""

    def created(self, tenant: str | None, seconds: float) -> None:
        """A connection was opened."""

    def waited(self, tenant: str | None, seconds: float) -> None:
        """A caller was given a connection."""

    def used(self, tenant: str | None, seconds: float) -> None:
        """A connection was given back."""

    def timed_out(self, tenant: str | None) -> None:
        """A caller waited until its deadline."""


class Observed(Protocol):
    """Tenant pools, of threads or of tasks."""

    observer: Observer | None

    @property
    def name(self) -> str:
        """What the pools are called."""

    def stats(self) -> TenantStats:
        """A snapshot, safe to take from any thread."""


def instrument(
    pools: Observed,
    *,
    meter_provider: MeterProvider | None = None,
    name: str = "",
    per_tenant: bool = False,
) -> Instruments:
    """Report ``pools`` as OpenTelemetry metrics until :meth:`Instruments.close`.

    Args:
        pools: ``TenantPools`` or ``AsyncTenantPools``.
        meter_provider: Where the measurements go; the application's own, unless given.
        name: What the pools are called there, instead of their own name.
        per_tenant: Tell each tenant's pool apart. As many time series as tenants is more than most backends bear:
            otherwise there are two names, one for all tenants and one for the system pool.

    Raises:
        UsageInvalid: opentelemetry-api is not installed, or these pools are measured already.
    """
    try:
        from opentelemetry.metrics import get_meter_provider
    except ImportError:
        raise UsageInvalid(
            "tenant pools were to be measured",
            seen="the package opentelemetry-api is not installed",
            todo=("pip install 'freshpg[otel]'",),
        ) from None
    if pools.observer is not None:
        raise UsageInvalid(
            "tenant pools were to be measured",
            on=name or pools.name,
            seen="they are measured already",
            todo=("close what instrument() returned before",),
        )
    return Instruments(
        pools,
        _board_of(meter_provider or get_meter_provider()),
        name or pools.name,
        per_tenant=per_tenant,
    )


class Instruments:
    """What measures one manager of pools. Hold it, or not: the pools do."""

    def __init__(self, pools: Observed, board: _Board, name: str, *, per_tenant: bool) -> None:
        self._pools: Callable[[], Observed | None] = weakref.ref(pools)
        self._names = Names(name, per_tenant=per_tenant)
        self._snapshots = _Snapshots()
        self._board = board
        board.measured.add(self)
        pools.observer = self

    def close(self) -> None:
        """Measure no more; again is fine."""
        self._board.measured.discard(self)
        pools = self._pools()
        if pools is not None and pools.observer is self:
            pools.observer = None

    def created(self, tenant: str | None, seconds: float) -> None:
        """Record how long opening a connection took."""
        self._board.create_time.record(seconds, self._names.of(tenant))

    def waited(self, tenant: str | None, seconds: float) -> None:
        """Record how long a caller waited."""
        self._board.wait_time.record(seconds, self._names.of(tenant))

    def used(self, tenant: str | None, seconds: float) -> None:
        """Record how long a connection was held."""
        self._board.use_time.record(seconds, self._names.of(tenant))

    def timed_out(self, tenant: str | None) -> None:
        """Count a caller that left with nothing."""
        self._board.timeouts.add(1, self._names.of(tenant))

    def readings(self, measure: Measure) -> Iterator[Reading]:
        """Yield what stands now."""
        pools = self._pools()
        if pools is not None:
            yield from measure.read(self._snapshots.for_measure(measure, pools), self._names)


class _Board:
    """The instruments of one meter provider, which takes each name once, for any number of managers of pools."""

    def __init__(self, meter: Meter) -> None:
        self.measured: weakref.WeakSet[Instruments] = weakref.WeakSet()
        self.timeouts = meter.create_counter(
            "db.client.connection.timeouts",
            "{timeout}",
            "Callers that waited for a connection until their deadline.",
        )
        self.create_time = _times(meter, "create_time", "Opening a connection.")
        self.wait_time = _times(meter, "wait_time", "From asking for a connection to having it.")
        self.use_time = _times(meter, "use_time", "From having a connection to giving it back.")
        for measure in STANDS:
            meter.create_observable_up_down_counter(
                measure.name, [self._callback(measure)], measure.unit, measure.description
            )
        for measure in COUNTS:
            meter.create_observable_counter(
                measure.name, [self._callback(measure)], measure.unit, measure.description
            )

    def _callback(self, measure: Measure) -> Callable[[CallbackOptions], Iterator[Observation]]:
        from opentelemetry.metrics import Observation

        def callback(_options: CallbackOptions) -> Iterator[Observation]:
            for instruments in tuple(self.measured):
                for value, attributes in instruments.readings(measure):
                    yield Observation(value, attributes)

        return callback


_boards: weakref.WeakKeyDictionary[MeterProvider, _Board] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _board_of(provider: MeterProvider) -> _Board:
    with _making:
        board = _boards.get(provider)
        if board is None:
            board = _boards[provider] = _Board(provider.get_meter("freshpg.tenants"))
        return board


def _times(meter: Meter, what: str, description: str) -> Histogram:
    return meter.create_histogram(
        f"db.client.connection.{what}",
        "s",
        description,
        explicit_bucket_boundaries_advisory=_BOUNDS,
    )


class _Snapshots:
    """One snapshot for all instruments of a collection: a new one is taken when an instrument asks a second time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: set[str] = set()
        self._last: TenantStats | None = None

    def for_measure(self, measure: Measure, pools: Observed) -> TenantStats:
        with self._lock:
            if self._last is None or measure.name in self._served:
                self._served.clear()
                self._last = pools.stats()
            self._served.add(measure.name)
            return self._last
