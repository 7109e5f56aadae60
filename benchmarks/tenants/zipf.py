"""Ten thousand tenants of which two hundred are open: how often the right ones are, and what a checkout takes then."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.tenants.beside import bare_connections
from benchmarks.tenants.town import PER_TENANT, at_once
from freshpg.tenants import TenantLimits, TenantPools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.tenants.town import Town

WITHIN = 0.02
P99 = 5.0
EXPONENT = 1.0
SHARED = 100
"""Databases that the tenants share: as many as there are tenants would take 70 GB. Each pool leads to one as if it were its own."""


@dataclass(slots=True)
class Taken:
    """Milliseconds of checkouts, those that opened a connection among them; and of bare ones beside these."""

    all: list[float] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    opened: int = 0


def run(town: Town, name: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows; the town has the databases that tenants share."""
    tenants, active, draws = (60, 6, 200) if quick else (10_000, 200, 12_000)
    databases = 6 if quick else SHARED
    # More callers than cores would wait for a core: every second checkout opens a connection.
    for callers in (1,) if quick else (1, os.cpu_count() or 1):
        sequence = _draws(tenants, draws, seed=callers)
        ideal = _ideal(sequence, active)
        taken = _use(town, sequence, active, databases, callers)
        condition = f"{tenants:,} tenants, {active} open, Zipf {EXPONENT:g}, {callers} caller{'s' * (callers > 1)}"
        yield from _rows(name, condition, taken, ideal)


def _draws(tenants: int, count: int, seed: int) -> list[int]:
    weights = list(accumulate(1 / rank**EXPONENT for rank in range(1, tenants + 1)))
    return random.Random(seed).choices(range(tenants), cum_weights=weights, k=count)


def _ideal(sequence: list[int], active: int) -> float:
    """Return how often a perfect LRU of that size has what is asked for."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for tenant in sequence:
        if tenant in held:
            hits += 1
            held.move_to_end(tenant)
            continue
        if len(held) >= active:
            held.popitem(last=False)
        held[tenant] = None
    return hits / len(sequence)


def _use(town: Town, sequence: list[int], active: int, databases: int, callers: int) -> Taken:
    """Take, query and give back, every caller the next one of the sequence; after each that opens a connection, a bare one."""
    taken, made = Taken(), threading.local()
    pools = TenantPools(
        lambda tenant: town.of(f"t{int(tenant) % databases}"),
        limits=TenantLimits(max_pools=active, max_per_tenant=PER_TENANT),
        configure=lambda _: setattr(made, "here", True),
        **town.options(),
    )
    turns = iter(sequence)

    def caller() -> None:
        for tenant in turns:
            made.here = False
            began = time.perf_counter()
            with pools.tenant(str(tenant)) as connection:
                took = 1000 * (time.perf_counter() - began)
                connection.execute("SELECT 1").fetchone()
            taken.all.append(took)
            if made.here:
                taken.opening.append(took)
                began = time.perf_counter()
                bare = beside.opened(f"t{tenant % databases}")
                taken.bare.append(1000 * (time.perf_counter() - began))
                bare.execute("SELECT 1").fetchone()
                bare.commit()

    with pools, bare_connections(town, active) as beside:
        at_once([caller] * callers)
        taken.opened = pools.stats().totals.opened
    return taken


def _rows(name: str, condition: str, taken: Taken, ideal: float) -> Iterator[Row]:
    rate = 1 - taken.opened / len(taken.all)
    yield Row(
        name, "hit rate of the LRU", condition, "%", Sample.of([100 * rate]), f"ideal LRU {100 * ideal:.2f} %",
        "within 2 % of ideal LRU", abs(rate - ideal) <= WITHIN,
    )  # fmt: skip
    bare, opening = Sample.of(taken.bare), Sample.of(taken.opening)
    yield Row(
        name, "closing the oldest bare connection and opening another, beside it", condition, "ms", bare,
        f"p99 {_percentile(bare, 99):.2f} ms, p99.9 {_percentile(bare, 99.9):.2f} ms",
    )  # fmt: skip
    yield Row(
        name, "checkout that opens a connection", condition, "ms", opening,
        f"{opening.median / bare.median:.2f} x the bare one; p99 {_percentile(opening, 99):.2f} ms,"
        f" p99.9 {_percentile(opening, 99.9):.2f} ms",
    )  # fmt: skip
    every = Sample.of(taken.all)
    late = _percentile(every, 99)
    yield Row(
        name, "checkout, opening included", condition, "ms", every, f"p99 {late:.2f} ms, p99.9 {_percentile(every, 99.9):.2f} ms",
        f"p99 <= {P99:g} ms", late <= P99, extra={"p99": round(late, 4)},
    )  # fmt: skip


def _percentile(sample: Sample, percent: float) -> float:
    return sample.values[min(len(sample.values) - 1, int(len(sample.values) * percent / 100))]
