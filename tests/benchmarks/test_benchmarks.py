"""Every benchmark runs, with sizes too small to say anything; no figure is judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
