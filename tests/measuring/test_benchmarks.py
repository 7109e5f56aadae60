"""Every benchmark runs, with sizes too small to say anything; no figure is judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.isolation import Contestant
from benchmarks.pytest_runs import pytest_run
from benchmarks.ratios import Key
from benchmarks.suites import Suite
from benchmarks.test_to_test import Length
from freshpg.core.conninfo import Conninfo

ROOT = Path(__file__).parents[2]
NAMES = (
    "first test",
    "clones",
    "per test",
    "isolation",
    "memory",
    "plugin import",
    "real schemas",
    "tenants",
    "tenants' footprint",
    "tenants under load",
    "safety",
    "recovery",
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_and_tells_what_it_measured(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--ordinary", "--only", name, "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith(("FRESHPG_", "PYTEST_"))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "results.json").read_text())
    assert {row["benchmark"] for row in written["rows"]} == {name}
    assert all("median" in row or row["skipped"] for row in written["rows"])
    assert written["facts"]["cpus"] >= 1
    assert f"## {name}" in (tmp_path / "results.md").read_text()


def test_an_unknown_benchmark_is_refused_by_name():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "luck"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert "first test" in done.stderr


def placed(place, test):
    (place / "pytest.ini").write_text("[pytest]\n")
    (place / "test_it.py").write_text(test)
    return Suite("a suite", "", "")


def test_a_suite_that_hangs_is_ended_and_told_of(tmp_path):
    suite = placed(tmp_path, "import threading\ndef test(): threading.Event().wait(60)\n")
    with pytest.raises(RuntimeError, match=r"had not ended after 0\.5 s"):
        pytest_run(suite, tmp_path, variables={}, limit=0.5)


def test_a_suite_that_fails_once_is_left_out_and_not_run_again(tmp_path):
    suite = placed(
        tmp_path, "def test(): open('runs', 'a').write('x'); assert False, 'out of luck'\n"
    )
    key = Key("a suite")
    contestant = Contestant(key, suite, tmp_path, Conninfo(), Length(1, 1))
    failed: dict[Key, str] = {}
    figures = [contestant.over([], {}, failed) for _ in range(2)]
    assert all(figure != figure for figure in figures)  # noqa: PLR0124 (not a number)
    assert "out of luck" in failed[key]
    assert (tmp_path / "runs").read_text() == "x"
