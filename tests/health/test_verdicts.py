"""From figures to verdicts, at their edges."""

import pytest

from freshpg.health import verdicts
from freshpg.health.checks import Check, Health


@pytest.mark.parametrize(
    "used, verdict",
    [(0, "good"), (79, "good"), (80, "warning"), (99, "warning"), (100, "bad"), (130, "bad")],
)
def test_the_budget_of_connections_warns_at_80_per_cent(used, verdict):
    check = verdicts.connections(used, 100)

    assert (check.verdict, check.figure, check.unit) == (verdict, used, "%")
    assert bool(check.remedy) == (verdict != "good")


@pytest.mark.parametrize(
    "free, verdict", [(64 << 20, "good"), ((64 << 20) - 1, "warning"), ((16 << 20) - 1, "bad")]
)
def test_room_is_judged_by_what_is_free(free, verdict):
    assert verdicts.storage("/place", free).verdict == verdict


@pytest.mark.parametrize("difference, verdict", [(0.1, "good"), (-2.0, "good"), (-3, "warning")])
def test_clocks_may_differ_a_little(difference, verdict):
    assert verdicts.clock(difference).verdict == verdict


@pytest.mark.parametrize("wanted, verdict", [(None, "good"), (18, "good"), (17, "bad")])
def test_the_version_is_the_wanted_one(wanted, verdict):
    assert verdicts.version("18.6", 18, wanted).verdict == verdict


def test_a_template_is_current_or_stale_or_not_built_yet_or_unreadable():
    def of(**current):
        return verdicts.templates(current, remedy="run again")

    assert of(main=True).text == "1 of 1 current with their migrations"
    assert (of(main=True, other=False).verdict, of(main=False).remedy) == ("bad", "run again")
    assert of(main=None).verdict == "good"
    assert "no such file" in of(main="no such file").text
    assert verdicts.templates({"main": False}, remedy="").verdict == "good"


def test_leases_are_compared_with_what_the_server_says():
    assert verdicts.leases(3, 3, alive=True).verdict == "good"
    assert verdicts.leases(3, 2, alive=True).verdict == "bad"
    assert verdicts.leases(0, 0, alive=False).verdict == "bad"
    assert verdicts.holders((), 2).verdict == "good"
    assert "process 7" in verdicts.holders({"process 7"}, 2).text


def test_stale_objects_and_missing_extensions_are_named():
    assert verdicts.stale_objects(()).verdict == "good"
    assert "process 7" in verdicts.stale_objects(["process 7"]).text
    assert verdicts.extensions({"a"}, {"a"}).verdict == "good"
    assert "b" in verdicts.extensions({"a", "b"}, {"a"}).text


def test_health_is_bad_as_soon_as_one_check_is_and_a_warning_is_none():
    good, warning, bad = (Check(one, one, "") for one in ("good", "warning", "bad"))

    assert Health((good, warning))
    assert not Health((good, bad))
    assert Health((good, warning)).warnings == (warning,)
    assert Health((good, bad))["bad"] is bad
    assert Health((bad,)).to_json()["checks"][0]["verdict"] == "bad"
