import pytest

from freshpg.core.errors import IsolationUnknown
from freshpg.isolation.levels import FACTS, LEVELS, parse


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_understood(level):
    assert parse(level) == level


@pytest.mark.parametrize(
    "text, nearest",
    [("rest", "reset"), ("Clone", "clone"), ("read-only", "readonly"), (" server", "server")],
)
def test_an_unknown_level_is_answered_with_the_nearest(text, nearest):
    with pytest.raises(IsolationUnknown, match=f"perhaps '{nearest}' was meant"):
        parse(text)


@pytest.mark.parametrize("value", ["", "banana", None, 3, ["clone"]])
def test_nonsense_is_answered_with_all_levels(value):
    with pytest.raises(IsolationUnknown, match="readonly, rollback, reset, clone, server"):
        parse(value)


def test_every_level_has_its_facts():
    assert tuple(FACTS) == LEVELS
    assert all(facts.name == level for level, facts in FACTS.items())
