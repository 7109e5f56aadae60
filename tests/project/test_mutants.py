"""tools/mutate.py changes the safety core to see whether tests notice; what it leaves out must be told truly."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    yield
    for name in ("mutate", "mutants", "mutant_trials", "equivalent_mutants"):
        sys.modules.pop(name, None)


SOURCE = """
class Door:
    def open(self, key):
        if key == 7:
            self.is_open = True
            log("opened")
            log("opened")
        return self.is_open
"""


def test_each_change_has_a_name_of_its_own_that_says_where_and_what(tools):
    from mutants import mutants_of, names_of

    names = names_of(SOURCE)
    assert names == [mutant.name for mutant in mutants_of(SOURCE)]
    assert sorted(names) == [
        "Door.open: None returned: return self.is_open",
        "Door.open: NotEq: key == 7",
        "Door.open: always False: key == 7",
        "Door.open: always True: key == 7",
        "Door.open: left out: log('opened')",
        "Door.open: left out: log('opened') (2)",
        "Door.open: left out: self.is_open = True",
        "Door.open: one more: 7",
        "Door.open: the other: True",
    ]
    assert len({mutant.source for mutant in mutants_of(SOURCE)}) == len(names)


def test_every_mutant_that_is_left_out_exists_and_has_a_reason(tools, monkeypatch):
    import mutate

    assert mutate.unknown(mutate.PARTS) == []
    assert mutate.EQUIVALENT.keys() <= mutate.PARTS.keys()
    assert all(reason for part in mutate.EQUIVALENT.values() for reason in part.values())
    monkeypatch.setitem(mutate.EQUIVALENT, "sweep", {"gone: one more: 1": "why"})
    assert mutate.unknown(mutate.PARTS) == ["sweep gone: one more: 1"]


def test_a_part_below_the_goal_and_a_wrong_exclusion_fail(tools, monkeypatch, capsys):
    import mutate
    from mutants import Mutant

    def verdicts(noticed, missed, name="f: one more: 1"):
        mutant = Mutant(1, "f", name, "")
        return [
            mutate.Verdict("sweep", mutant, noticed=at < noticed, how="")
            for at in range(noticed + missed)
        ]

    assert mutate.conclude({"sweep": verdicts(95, 5)}) == 0
    assert mutate.conclude({"sweep": verdicts(94, 6)}) == 1
    assert mutate.conclude({"sweep": verdicts(94, 6), "lease": verdicts(900, 0)}) == 1
    monkeypatch.setitem(mutate.EQUIVALENT, "sweep", {"g: one more: 1": "why"})
    excluded = verdicts(0, 1, "g: one more: 1")
    assert mutate.conclude({"sweep": verdicts(95, 5) + excluded}) == 0
    capsys.readouterr()
    assert mutate.conclude({"sweep": verdicts(95, 5) + verdicts(1, 0, "g: one more: 1")}) == 1
    assert "g: one more: 1: noticed" in capsys.readouterr().out
