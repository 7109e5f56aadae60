"""What a database costs each test: (T(N) - T(1)) / (N - 1) of whole pytest runs, over that of an empty test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.pytest_runs import make_template, missing, place_suite, whole_run
from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.schema import schema
from benchmarks.suites import FLOOR, SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.ground import Ground
    from benchmarks.suites import Suite

NAME = "per test"


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    for tables in (10,) if quick else (10, 100, 1000):
        yield from _at(ground, tables, quick=quick)


def _at(ground: Ground, tables: int, *, quick: bool) -> Iterator[Row]:
    rounds = 1 if quick else {10: 5, 100: 4, 1000: 2}[tables]
    # A statement of so many objects locks more than a server has room for by default.
    project = ground.project(schema(tables), settings={"max_locks_per_transaction": 1024})
    condition = f"{tables} tables"
    with ground.raw_server(project) as address:
        make_template(address, project)
        placed: dict[str, tuple[Suite, Path]] = {}
        for suite in (FLOOR, *SUITES):
            reason = missing(suite, tables)
            if reason:
                yield Row(NAME, suite.name, condition, skipped=reason)
                continue
            placed[suite.name] = (suite, place_suite(ground, suite, project, address, tables))
        timed, failed = _timed(placed, rounds, tables, quick=quick)
    yield from (Row(NAME, name, condition, skipped=why) for name, why in failed.items())
    yield from _rows(timed, placed, condition, tables)


def _timed(
    placed: dict[str, tuple[Suite, Path]], rounds: int, tables: int, *, quick: bool
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return seconds a test of every suite that works, and why the others do not."""
    failed = {}
    variants = {}
    for name, (suite, place) in placed.items():
        count = _count(suite, tables, quick=quick)
        try:
            whole_run(suite, place, 2)
        except RuntimeError as error:
            failed[name] = str(error)
            continue
        variants[name] = partial(_per_test, suite, place, count)
    return interleaved(variants, rounds), failed


def _count(suite: Suite, tables: int, *, quick: bool) -> int:
    """Return how many tests a run has; what costs little a test needs many to be told from the start's noise."""
    if quick:
        return 6
    return suite.tests // 5 if tables == 1000 and suite.commits else suite.tests


def _rows(
    timed: dict[str, list[float]],
    placed: dict[str, tuple[Suite, Path]],
    condition: str,
    tables: int,
) -> Iterator[Row]:
    floor = Sample.of(timed.pop(FLOOR.name)).median
    over = {
        name: Sample.of(1000 * (value - floor) for value in values)
        for name, values in timed.items()
    }
    yield Row(NAME, "empty test (the floor below all)", condition, sample=Sample.of([1000 * floor]))
    clone = over.get("freshpg clone")
    for name, sample in over.items():
        compared, target, reached = "", "", None
        if clone and sample.median > 0 and not name.startswith("freshpg"):
            compared = f"{sample.median / clone.median:.1f} x freshpg clone"
        if clone and name.startswith("pytest-postgresql") and tables == 100:
            target, reached = "freshpg clone <= 1/5", clone.median <= sample.median / 5
        if not placed[name][0].commits:
            compared = f"{compared}; no real commits".strip("; ")
        yield Row(
            NAME, name, condition, sample=sample, compared=compared, target=target, reached=reached
        )


def _per_test(suite: Suite, place: Path, count: int) -> float:
    one = whole_run(suite, place, 1)
    return (whole_run(suite, place, count) - one) / (count - 1)
