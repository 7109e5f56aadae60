"""Errors are product: a stable code, what failed, on what, what was seen, what to do; and they travel."""

import copy
import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshpg.errors
from freshpg.core import errors
from freshpg.core.errors import FreshpgError, NameInvalid, NoServer, SettingsInvalid, all_errors

TREE = [cls for cls in all_errors() if cls.__module__ == errors.__name__]
FACTS = {"key": "linger", "line": 3}


def example(cls=SettingsInvalid):
    return cls("it was read", on="a\nb", seen="c", todo=("first", "second\nline"), **FACTS)


def test_a_message_says_everything_in_order():
    assert str(example()).splitlines() == [
        "FPG-C01 a setting is not valid",
        "  what: it was read",
        "  on:   a",
        "        b",
        "  seen: c",
        "  do:   1. first",
        "        2. second",
        "        line",
    ]


def test_a_message_leaves_out_what_is_not_known():
    assert str(NoServer()) == "FPG-S01 no PostgreSQL server to be had"
    assert str(NoServer(todo=("install",))).splitlines()[1:] == ["  do:   install"]


@pytest.mark.parametrize("cls", TREE)
@pytest.mark.parametrize(
    "travel",
    [copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "pickle"],
)
def test_every_error_survives_a_journey_whole(cls, travel):
    error = example(cls)
    error.add_note("seen by a worker")
    arrived = travel(error)
    assert type(arrived) is cls
    assert str(arrived) == str(error)
    assert arrived.data == FACTS
    assert (arrived.key, arrived.line) == ("linger", 3)
    assert arrived.__notes__ == ["seen by a worker"]


def test_facts_never_hide_the_parts_of_an_error():
    error = FreshpgError("x", title="other", origin="file", args=3)
    assert (error.title, error.origin, error.args) == ("freshpg failed", "ours", ("x",))
    assert error.data == {"title": "other", "origin": "file", "args": 3}


def test_codes_and_titles_are_unique():
    assert len({cls.code for cls in TREE}) == len({cls.title for cls in TREE}) == len(TREE)


@pytest.mark.parametrize("cls", TREE)
def test_every_error_is_documented_and_in_a_family(cls):
    assert inspect.getdoc(cls)
    assert re.fullmatch(r"FPG-(000|[BCDLPRST]\d\d)", cls.code)
    assert cls.origin in {"ours", "yours", "infrastructure"}
    family = {
        base.code[:5]
        for base in cls.__mro__
        if issubclass(base, FreshpgError) and base is not FreshpgError
    }
    assert len(family) <= 1


def test_the_tree_in_the_docstring_is_the_tree():
    listed = re.findall(r"[├└]── (\w+)\s+(FPG-...)", errors.__doc__)
    families = {cls for cls in TREE if FreshpgError in cls.__bases__}
    expected = {
        (cls.__name__, f"{cls.code[:5]}.." if cls in families else cls.code)
        for cls in TREE
        if cls is not FreshpgError
    }
    assert set(listed) == expected


def test_the_public_module_has_the_whole_tree():
    classes = {cls.__name__ for cls in TREE}
    assert set(freshpg.errors.__all__) == classes | {"all_errors"}
    assert all(getattr(freshpg.errors, name) is getattr(errors, name) for name in classes)


def test_to_json_has_the_same_facts():
    assert example().to_json() == {
        "code": "FPG-C01",
        "title": "a setting is not valid",
        "origin": "yours",
        "what": "it was read",
        "on": "a\nb",
        "seen": "c",
        "do": ["first", "second\nline"],
    }


@given(st.text(), st.text(), st.text(), st.lists(st.text()))
def test_the_first_line_never_changes(failed, on, seen, todo):
    error = NameInvalid(failed, on=on, seen=seen, todo=todo)
    assert str(error).splitlines()[0] == error.headline == "FPG-C02 a database name cannot be used"
