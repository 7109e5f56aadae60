"""What a test costs within a run: from its start to the start of the next one, over that of empty tests of the same run.

Both kinds alternate in blocks, so that what a test leaves for the next one to do falls to its own kind. The first ten
of each kind and the first of each block are left out.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.pytest_runs import pytest_run

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.suites import Suite

LEFT_OUT = 10

PLUGIN = """
import json, os, time
from pathlib import Path

import pytest

CYCLES, BLOCK = int(os.environ["BENCHMARK_CYCLES"]), int(os.environ["BENCHMARK_BLOCK"])
began = []

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    def place(item):
        block, within = divmod(item.callspec.params["number"], BLOCK)
        return item.path, block, item.originalname == "test_work", within
    items.sort(key=place)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    began.append((item.originalname, time.perf_counter()))

def pytest_sessionfinish():
    import sys
    taken = {{"empty": [], "work": []}}
    runs = list(zip(began, began[1:]))
    for (before, _), ((name, start), (_, end)) in zip([("", 0.0), *began], runs):
        if name == before:
            taken[name.removeprefix("test_")].append(end - start)
    if began:
        facts = {{**taken, "proves": "freshpg.pytest_plugin.inspection" in sys.modules}}
        name = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        Path(__file__).with_name(f"taken-{{name}}.json").write_text(json.dumps(facts))
"""

TESTS = """
import os

import pytest
{imports}

NUMBERS = range(int(os.environ["BENCHMARK_CYCLES"]) * int(os.environ["BENCHMARK_BLOCK"]))

@pytest.mark.parametrize("number", NUMBERS)
def test_empty(number):
    pass

@pytest.mark.parametrize("number", NUMBERS)
{marker}
def test_work(number{fixtures}):
    {call}
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of the tests of one run, by worker; ``proves`` when the deep comparison was loaded."""

    empty: tuple[tuple[float, ...], ...]
    work: tuple[tuple[float, ...], ...]
    proves: bool

    @property
    def over(self) -> float:
        """Milliseconds of the median test over the median empty one; the mean over workers."""
        pairs = zip(self.work, self.empty, strict=True)
        return 1000 * statistics.mean(
            statistics.median(work) - statistics.median(empty) for work, empty in pairs
        )

    @property
    def floor(self) -> float:
        """Milliseconds of the median empty test; the mean over workers."""
        return 1000 * statistics.mean(map(statistics.median, self.empty))


@dataclass(frozen=True, slots=True)
class Length:
    """How many tests of each kind a run has."""

    cycles: int
    block: int


def run_once(suite: Suite, place: Path, length: Length, *, workers: int = 1) -> Taken:
    """Run a suite and return what its tests took.

    Raises:
        RuntimeError: It failed.
    """
    for old in place.glob("taken-*.json"):
        old.unlink()
    variables = {"BENCHMARK_CYCLES": str(length.cycles), "BENCHMARK_BLOCK": str(length.block)}
    pytest_run(suite, place, variables=variables, workers=workers)
    found = [json.loads(path.read_text()) for path in sorted(place.glob("taken-*.json"))]
    return Taken(
        tuple(tuple(one["empty"][LEFT_OUT:]) for one in found),
        tuple(tuple(one["work"][LEFT_OUT:]) for one in found),
        any(one["proves"] for one in found),
    )
