"""Sustained load: the same pools at work for minutes, beside bare ones, and whether they become slower or larger."""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import processes
from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.tenants.queries import rate
from benchmarks.tenants.town import PER_TENANT, bare_pools, names, town
from benchmarks.trend import Trend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.ground import Ground

NAME = "tenants under load"
CALLERS = 4
MINUTES = 5.0
SHARE = 4
"""Slices of tenant pools for each one of bare pools."""
TARGET, DRIFT, SURE = 0.9, 0.03, 0.10


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    tenants = names(4 if quick else 20)
    length, seconds = (0.1, 1.0) if quick else (0.25, 60 * MINUTES)
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    ratios: list[tuple[float, float]] = []
    memory: list[tuple[float, float]] = []
    with (
        town(ground, len(tenants), connections=60 if quick else 200) as place,
        place.pools() as ours,
        bare_pools(place, tenants, least=PER_TENANT) as bare,
    ):
        ways = {
            "ours": _operation(ours.tenant),
            "bare": _operation(lambda tenant: bare[tenant].connection()),
        }
        for way in ways.values():
            rate(way, CALLERS, tenants, length)
        began = time.perf_counter()
        while (since := time.perf_counter() - began) < seconds:
            before = rate(ways["bare"], CALLERS, tenants, length)
            mine = [rate(ways["ours"], CALLERS, tenants, length) for _ in range(SHARE)]
            after = rate(ways["bare"], CALLERS, tenants, length)
            rates["ours"] += mine
            rates["bare"] += [before, after]
            ratios.append((since, statistics.mean(mine) / statistics.mean([before, after])))
            if sys.platform.startswith("linux"):
                memory.append((since, processes.private()))
        failed = ours.stats().totals
    assert not failed.failed
    assert not failed.timeouts
    yield from _rows(rates, ratios, memory, seconds)


def _operation(lease: Callable[[str], Any]) -> Callable[[str], None]:
    """Two of three read, one of three writes: each a transaction of two statements."""
    chance = random.Random(3)

    def operate(tenant: str) -> None:
        with lease(tenant) as connection:
            connection.execute("SELECT count(*) FROM item_0").fetchone()
            if chance.random() < 1 / 3:
                connection.execute("UPDATE item_0 SET name = 'y' WHERE id = 1")
            else:
                connection.execute("SELECT name FROM item_0 WHERE id = 1").fetchall()

    return operate


def _rows(
    rates: dict[str, list[float]],
    ratios: list[tuple[float, float]],
    memory: list[tuple[float, float]],
    seconds: float,
) -> Iterator[Row]:
    condition = f"{CALLERS} threads, 20 tenants, {seconds / 60:.1f} minutes, in turn"
    yield Row(NAME, "operations: psycopg_pool", condition, "a second", Sample.of(rates["bare"]))
    ratio = Sample.of(value for _, value in ratios).median
    yield Row(
        NAME, "operations: tenant pools", condition, "a second", Sample.of(rates["ours"]),
        f"{ratio:.2f} x psycopg_pool, turn by turn", f">= {TARGET} x psycopg_pool", ratio >= TARGET,
    )  # fmt: skip
    yield _drift(ratios, condition)
    if memory:
        grown = Trend.of(memory).slope * seconds
        yield Row(
            NAME, "growth of the client's private memory", condition, "MB", Sample.of([grown])
        )


def _drift(ratios: list[tuple[float, float]], condition: str) -> Row:
    trend = Trend.of(ratios)
    whole = ratios[-1][0] - ratios[0][0]
    drift, low, high = (100 * whole * one for one in (trend.slope, trend.low, trend.high))
    unsure = high - low > 200 * SURE
    return Row(
        NAME, "drift of that ratio", condition, "% over the whole time", Sample.of([drift]),
        f"95 % interval {low:+.1f} to {high:+.1f} %" + (": too noisy to judge" if unsure else ""),
        f"none: below {100 * DRIFT:.0f} %, or no more than chance",
        None if unsure else abs(drift) <= 100 * DRIFT or low <= 0 <= high,
    )  # fmt: skip
