"""What many tenants take: memory of client and server, threads; and that nothing grows with use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.tenants.town import Town, town
from benchmarks.trend import Trend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground

NAME = "tenants' footprint"
MOST, MOST_CLIENT = 90.0, 5.0
LIMIT = 40
"""Connections to the server: what the guide to tuning starts from for a hundred tenants."""


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    if not sys.platform.startswith("linux"):
        yield Row(NAME, "clients and server", skipped="read from /proc, which Linux has")
        return
    count = 4 if quick else 100
    with town(ground, count, connections=60 if quick else 300) as place:
        yield from _memory(place, count, quick=quick)
        yield from _threads(place, count, quick=quick)
        yield from _first_queries(place, count, quick=quick)
        yield from _cycles(place, quick=quick)


def _memory(place: Town, count: int, *, quick: bool) -> Iterator[Row]:
    ways: tuple[tuple[str, str, tuple[int, ...]], ...] = (
        ("tenant pools", "ours", (LIMIT,)),
        ("tenant pools, no limit set", "ours", (0,)),
        ("psycopg_pool, two connections each", "bare", (2,)),
        ("psycopg_pool, opened on demand", "bare", (0,)),
        ("psycopg_pool's null pools", "null", ()),
        ("SQLAlchemy engines", "sqlalchemy", ()),
    )
    for words, way, rest in ways:
        found = [place.child("client_memory", way, count, *rest) for _ in range(1 if quick else 3)]
        target = way == "ours" and rest == (LIMIT,)
        both = Sample.of(one["client"] + one["server"] for one in found)
        client = Sample.of(one["client"] for one in found)
        last = found[-1]
        used = f"{last['backends']} connections open, {last['threads']} threads more, {last['seconds']:.2f} s for two rounds"
        limited = f", at most {LIMIT} connections" if target else ""
        yield Row(
            NAME, f"memory, client and server: {words}", f"{count} tenants queried twice{limited}", "MB", both, used,
            f"<= {MOST:g} MB" if target else "", both.median <= MOST if target else None,
        )  # fmt: skip
        constant = target and last["threads"] <= 1
        yield Row(
            NAME, f"of it the client: {words}", f"{count} tenants", "MB", client, "",
            f"<= {MOST_CLIENT:g} MB, a constant number of threads" if target else "",
            (client.median <= MOST_CLIENT and constant) if target else None,
        )  # fmt: skip


def _threads(place: Town, databases: int, *, quick: bool) -> Iterator[Row]:
    ways = (
        ("psycopg_pool as it comes", "bare", "opened, none used"),
        ("psycopg_pool, num_workers=1", "one", "opened, none used"),
        ("tenant pools", "ours", f"each queried once, {LIMIT} connections"),
    )
    for count in (5,) if quick else (100, 1_000, 10_000):
        for words, way, doing in ways:
            one = place.child("client_threads", way, count, databases)
            opened = one["pools"]
            failed = f"; stopped at {opened:,}: {one['why']}" if one["why"] else ""
            took = (
                f"{one['client']:.1f} MB private, open {one['open']:.2f} s, close {one['close']:.2f} s,"
                f" {1000 * one['cpu']:.1f} ms of CPU a second{failed}"
            )
            yield Row(
                NAME, f"threads: {words}", f"{count:,} tenants, {doing}", "threads", Sample.of([one["threads"]]), took,
                extra={"detail": one},
            )  # fmt: skip


def _first_queries(place: Town, databases: int, *, quick: bool) -> Iterator[Row]:
    """Whether a tenant's first query depends on how many came before, beside what the server itself takes for it."""
    count, block, limit = (60, 20, 10) if quick else (10_000, 1_000, LIMIT)
    found = place.child("client_first", count, databases, limit)
    # The first find room; from then on each makes another one give way.
    parts = (slice(limit, block), slice(count - block, count))
    early, late = ({way: Sample.of(found[way][part]) for way in ("ours", "bare")} for part in parts)
    base = early["ours"].median / early["bare"].median
    for part, one in zip(parts, (early, late), strict=True):
        beside = one["ours"].median / one["bare"].median
        slower = one["bare"].median / early["bare"].median
        last = one is late
        grown = (
            f", {beside / base:.2f} x as much as for the first; bare ones {slower:.2f} x"
            if last
            else ""
        )
        yield Row(
            NAME, "a tenant's first query, one after the other",
            f"tenants {part.start + 1:,} to {part.stop:,}, {limit} connections", "ms", one["ours"],
            f"{beside:.2f} x a bare connection beside it{grown}",
            "linear: <= 1.2 x as much as for the first" if last and not quick else "",
            beside / base <= 1.2 if last and not quick else None,
        )  # fmt: skip


def _cycles(place: Town, *, quick: bool) -> Iterator[Row]:
    cycles, every, warm = (6, 1, 2) if quick else (1000, 20, 200)
    found = place.child("client_cycles", cycles, every)
    few = found if quick else place.child("client_cycles", 10, 1)
    for count, samples, first in ((10, few, 2), (cycles, found, warm)):
        late = [one for one in samples if one["cycle"] > first]
        for what, unit, slack in (
            ("memory", "kB", 0.2),
            ("descriptors", "", 0.0),
            ("threads", "", 0.0),
            ("backends", "", 0.0),
        ):
            slope = Trend.of([(one["cycle"], one[what]) for one in late]).slope
            judged = not quick and (count > 10 or what != "memory")
            level = Sample.of(one[what] for one in late)
            yield Row(
                NAME, f"{what} over create and destroy cycles", f"{count} cycles, the first {first} left out",
                unit or what, level, f"slope {slope:+.4f} {unit} a cycle".replace("  ", " "),
                f"slope 0{f', to {slack:g} kB a cycle' if slack else ''}" if judged else "",
                abs(slope) <= slack if judged else None,
            )  # fmt: skip
