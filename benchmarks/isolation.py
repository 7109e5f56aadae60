"""What isolation costs a test, beside the ways of its peers: overhead over an empty test, from test to test."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from benchmarks import audit_memory, breakdown
from benchmarks import isolated_suites as suites
from benchmarks.other_server import other_server
from benchmarks.pytest_runs import make_template, missing, place_suite, renew_recipe
from benchmarks.ratios import ABSOLUTE, RATIOS, RESET, Key
from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.schema import schema
from benchmarks.test_to_test import Length, Taken, run_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.ground import Ground
    from benchmarks.suites import Suite
    from freshpg.core.conninfo import Conninfo

NAME = "isolation"
SEEDED = 50
PLAIN = "bench_plain"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One suite at one size: what it is, where it lies, how long its runs are."""

    key: Key
    suite: Suite
    place: Path
    address: Conninfo
    length: Length

    def over(self, floors: list[float], proving: dict[Key, bool], failed: dict[Key, str]) -> float:
        """Run it once; milliseconds of a test over an empty one. Once it has ``failed`` it is not run again."""
        if self.key in failed:
            return math.nan
        try:
            taken = self._run(self.length)
        except RuntimeError as error:
            # Hundreds of runs of others would be lost with it.
            failed[self.key] = str(error)
            return math.nan
        floors.append(taken.floor)
        proving[self.key] = taken.proves
        return taken.over

    def try_it(self) -> None:
        """Run it with as few tests as tell something.

        Raises:
            RuntimeError: It failed.
        """
        self._run(Length(2, 7))

    def _run(self, length: Length) -> Taken:
        if "{keywords}" in self.suite.conftest:
            renew_recipe(self.address)
        return run_once(self.suite, self.place, length, workers=self.key.workers)


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    yield from _per_test(ground, quick=quick)
    for tables in (100,) if quick else (10, 100, 1000):
        project = _seeded_project(ground, tables)
        yield from breakdown.run(ground, NAME, project, tables, cycles=40 if quick else 300)
    yield from audit_memory.run(ground, NAME, quick=quick)


def _per_test(ground: Ground, *, quick: bool) -> Iterator[Row]:
    with ExitStack() as servers:
        contestants, skipped = [], []
        for tables in (100,) if quick else (10, 100, 1000):
            for found in _placed(ground, servers, tables, quick=quick):
                if isinstance(found, Row):
                    skipped.append(found)
                else:
                    contestants.append(found)
        yield from skipped
        measured = _measured(contestants, 1 if quick else 7)
    yield from (_skipped(key, why) for key, why in measured.failed.items())
    if measured.floors:
        floor = Sample.of(measured.floors)
        yield Row(NAME, "an empty test (the floor below all)", "of every run here", sample=floor)
    found = measured.found
    for key, values in found.items():
        yield _figure(key, Sample.of(values))
    for ratio in RATIOS:
        yield from ratio.rows(NAME, found)
    yield from _prove_off(found, measured.proving)


@dataclass(slots=True)
class _Measured:
    """What the rounds gave: milliseconds by contestant, and why those that failed have none."""

    found: dict[Key, list[float]] = field(default_factory=dict)
    floors: list[float] = field(default_factory=list)
    proving: dict[Key, bool] = field(default_factory=dict)
    failed: dict[Key, str] = field(default_factory=dict)


def _measured(contestants: list[Contestant], rounds: int) -> _Measured:
    measured = _Measured()
    variants = {}
    for contestant in contestants:
        try:
            contestant.try_it()
        except RuntimeError as error:
            measured.failed[contestant.key] = str(error)
        else:
            variants[contestant.key] = partial(
                contestant.over, measured.floors, measured.proving, measured.failed
            )
    found = interleaved(variants, rounds)
    measured.found = {key: values for key, values in found.items() if key not in measured.failed}
    return measured


def _prove_off(found: dict[Key, list[float]], proving: dict[Key, bool]) -> Iterator[Row]:
    off = Key(RESET)
    if off in found:
        yield Row(
            NAME, "--pg-prove off", off.condition, sample=Sample.of(found[off]),
            compared="the module that proves is not even loaded", target="costs nothing",
            reached=not proving[off],
        )  # fmt: skip


def _figure(key: Key, sample: Sample) -> Row:
    for absolute in ABSOLUTE:
        if absolute.key == key:
            return Row(
                NAME, key.subject, key.condition, sample=sample,
                target=f"<= {absolute.most} ms", reached=sample.median <= absolute.most,
            )  # fmt: skip
    return Row(NAME, key.subject, key.condition, sample=sample)


def _skipped(key: Key, why: str) -> Row:
    return Row(NAME, key.subject, key.condition, skipped=why)


def _placed(
    ground: Ground, servers: ExitStack, tables: int, *, quick: bool
) -> Iterator[Contestant | Row]:
    """Put every suite of one size in its place; a row where one cannot be run."""
    project = _seeded_project(ground, tables)
    address = servers.enter_context(ground.raw_server(project))
    make_template(address, project)
    for variant, bodies, workers in _plan(ground, servers, tables, quick=quick):
        for body in bodies:
            suite = variant(body, files=workers)
            key = Key(suite.name, body, tables, workers)
            why = missing(suite, tables)
            if why:
                yield _skipped(key, why)
                continue
            place = place_suite(ground, suite, project, address, tables)
            yield Contestant(key, suite, place, address, _length(suite, body, quick=quick))


Plan = tuple["Callable[..., Suite]", tuple[str, ...], int]


def _plan(ground: Ground, servers: ExitStack, tables: int, *, quick: bool) -> Iterator[Plan]:
    rollback, reset = suites.connected("rollback"), suites.reset_kept
    wide = () if tables < 50 else ("fifty",)
    few = ("one", "five")
    usual = ("reads", "one", "five", *wide) if quick else ("reads", "one", "five", *wide, "seed")
    yield suites.no_database, ("nothing",), 1
    yield reset, ("nothing", *usual, "committed"), 1
    yield rollback, usual, 1
    yield suites.bare_rollback, usual, 1
    for variant in (suites.bare_rollback, suites.connected("reset"), suites.connected("clone")):
        yield variant, ("alters",), 1
    for variant in (suites.savepoint_recipe, suites.session("reset"), suites.session("rollback")):
        yield variant, ("one",), 1
    if tables > 10:
        for url, role in _elsewhere(ground, servers):
            yield suites.elsewhere(url, role), few, 1
    if tables != 100:
        return
    yield suites.proved, ("one",), 1
    for arguments, ours in (("", False), ("transaction=True", False), ("transaction=True", True)):
        yield suites.django(arguments, ours=ours), ("one",), 1
    for kind in ("running", "own"):
        yield suites.pytest_postgresql(kind), ("one",), 1
    for variant in (reset, rollback, suites.bare_rollback, suites.savepoint_recipe):
        yield variant, ("one",), 2


def _elsewhere(ground: Ground, servers: ExitStack) -> Iterator[tuple[str, str]]:
    """Start two servers that are somebody else's, and tell what freshpg may be there."""
    first = servers.enter_context(other_server(ground))
    yield first.url(), "another's server, as a superuser"
    second = servers.enter_context(other_server(ground))
    with psycopg.connect(**second.keywords(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {PLAIN} LOGIN CREATEDB")
    yield second.with_(user=PLAIN).url(), "another's server, as a role with CREATEDB"


def _seeded_project(ground: Ground, tables: int) -> Path:
    # The largest schema locks more in one transaction than a server has room for by default. More room than
    # needed would not be fair: the table of locks is as long as it might get, and both sides read it.
    settings = {"max_locks_per_transaction": 512} if tables > 500 else {}
    return ground.project(schema(tables, seeded=SEEDED), settings=settings)


def _length(suite: Suite, body: str, *, quick: bool) -> Length:
    """Return the length of a run: long enough to see what a cheap test costs, short for those that take long."""
    takes_long = suite.commits and "freshpg" not in suite.name
    if takes_long or body == "alters" or "prove" in suite.name:
        return Length(2, 8) if quick else Length(3, 10)
    return Length(2, 20) if quick else Length(6, 30)
