"""``freshpg demo`` where the checkout's shop is not at hand; the shop itself is the demo's daily use."""

import pytest

from freshpg.cli import demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_demo_runs_both_ways_and_leaves_nothing(here, monkeypatch, tmp_path):
    # Values that the command sets for its own process go with the test.
    for name in ("FRESHPG_RUNTIME", "FRESHPG_CACHE", "FRESHPG_LINGER"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "c" / "demo.py"))

    ended = here("demo", "--json")

    found = ended.json
    assert ended.code == 0, ended.err
    assert [(run["exit_code"], run["tests"]) for run in found["runs"]] == [(0, 40)] * 3
    assert any("40 databases handed out" in line for line in found["runs"][0]["lines"])
    assert (found["left_behind"], found["good"]) == ([], True)
