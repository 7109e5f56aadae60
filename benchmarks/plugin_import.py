"""CPU time that the plugin adds to a pytest that uses nothing of it.

Two runs of the same pytest differ by more than the plugin costs, so time alone decides nothing. Instructions do not
vary: counted twice they agree to a millionth. What the plugin adds to them is held against the time of the plain runs.
Without a program that counts, the quickest of many runs are compared: nothing makes a process quicker than it is.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.ground import Ground

NAME = "plugin import"
LIMIT = 15.0
PLUGIN = "freshpg.pytest_plugin"
NONE = "no_plugin"
"""An empty one. Looking for one by name reads what is installed, as pytest does in any run beside other plugins."""
COUNTER = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    place = ground.directory("suite")
    (place / "test_it.py").write_text("def test_it():\n    pass\n")
    (place / "pytest.ini").write_text("[pytest]\n")
    (place / f"{NONE}.py").touch()
    variants = {"pytest": partial(_cpu, place, NONE), "with": partial(_cpu, place, PLUGIN)}
    found = interleaved(variants, 1) and interleaved(variants, 3 if quick else 40)
    plain = Sample.of(1000 * value for value in found["pytest"])
    yield Row(NAME, "pytest with one empty test", "CPU of the process", sample=plain)
    if shutil.which(COUNTER[0]):
        yield _by_instructions(place, found["pytest"])
    else:
        yield _by_the_quickest(found["pytest"], found["with"])


def _by_instructions(place: Path, seconds: list[float]) -> Row:
    plain, with_plugin = _instructions(place, NONE), _instructions(place, PLUGIN)
    share = (with_plugin - plain) / plain
    over = Sample.of(1000 * share * value for value in seconds)
    return Row(
        NAME,
        "the plugin on top",
        "its share of instructions, of the CPU of the plain runs",
        sample=over,
        compared=f"{(with_plugin - plain) / 1e6:.1f} million more than {plain / 1e6:.0f} million: {share:.1%}",
        target="<= 15 ms",
        reached=over.median <= LIMIT,
    )


def _by_the_quickest(plain: list[float], with_plugin: list[float]) -> Row:
    over = 1000 * (min(with_plugin) - min(plain))
    return Row(
        NAME,
        "the plugin on top",
        f"CPU of the process, the quickest of {len(plain)} each",
        sample=Sample.of([over]),
        target="<= 15 ms",
        reached=over <= LIMIT,
    )


def _cpu(place: Path, plugin: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _pytest(place, plugin)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _instructions(place: Path, plugin: str) -> int:
    told = _pytest(place, plugin, before=COUNTER)
    counted = re.search(r"I\s+refs:\s+([\d,]+)", told)
    if counted is None:
        raise RuntimeError(told[-2000:])
    return int(counted[1].replace(",", ""))


def _pytest(place: Path, plugin: str, before: tuple[str, ...] = ()) -> str:
    """Run pytest on the one test and return what was said beside its report."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini")
    # The same sets in the same order: without that, counts differ by a thousandth.
    environment = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(place),
    }
    return subprocess.run(
        [*before, *pytest, "-p", plugin],
        cwd=place,
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ).stderr
