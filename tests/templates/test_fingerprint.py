import pytest

from freshpg.templates.blueprint import Blueprint
from freshpg.templates.fingerprint import Chain, best_start, chain_of, start_after
from freshpg.templates.migrations.base import Input, StepInputs


def step(*fixed, history=()):
    return StepInputs(
        tuple(Input(name, name * 2) for name in fixed),
        tuple(Input(name, name * 3) for name in history),
    )


def chain(*steps, build="180006", owner="postgres", **more):
    blueprint = Blueprint("main", "shop_test", ["a.sql"], **more)
    return chain_of(blueprint, steps, build=build, owner=owner)


def saved(wanted, found):
    return start_after(wanted, found.fingerprint, found.facts())


A, B, C = step("a"), step("b"), step("c")


def test_equal_inputs_have_equal_fingerprints():
    assert chain(A, B).fingerprint == chain(A, B).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        chain(B, A),
        chain(A),
        chain(A, B, C),
        chain(step("a", "b")),
        chain(step("ab")),
        chain(A, step("b", history=["x"])),
        chain(A, B, build="180007"),
        chain(A, B, owner="somebody"),
        chain(A, B, extensions=["pg_trgm"]),
        chain(A, B, superuser=True),
    ],
)
def test_whatever_changes_the_outcome_changes_the_fingerprint(other):
    assert other.fingerprint != chain(A, B).fingerprint


def test_names_and_deadlines_are_no_part_of_it():
    one = Blueprint("main", "shop_test", ["a.sql"], deadline=1)
    two = Blueprint("other", "mall_test", ["a.sql"], deadline=2)
    chains = [chain_of(each, [A], build="15", owner="postgres") for each in (one, two)]
    assert chains[0] == chains[1]


def test_a_template_of_the_first_steps_saves_them():
    assert saved(chain(A, B, C), chain(A, B)) == 2
    assert saved(chain(A, B, C), chain()) == 0
    assert saved(chain(A, B), chain(A, B)) == 2


def test_a_template_of_other_steps_is_no_start():
    assert saved(chain(A, B), chain(A, B, C)) is None
    assert saved(chain(A, B), chain(A, C)) is None
    assert saved(chain(A, B), chain(A, build="15")) is None


def test_a_grown_history_is_applied_once_more_on_the_template_before():
    old, new = step("env", history=["r1"]), step("env", history=["r1", "r2"])
    assert saved(chain(A, new), chain(A, old)) == 1
    assert saved(chain(A, new, B), chain(A, old)) == 1


@pytest.mark.parametrize(
    "old",
    [
        step("env", history=["r1", "r9"]),
        step("other_env", history=["r1"]),
        step("env", history=["r1", "r2", "r3"]),
    ],
)
def test_an_edited_or_removed_history_is_no_start(old):
    assert saved(chain(A, step("env", history=["r1", "r2"])), chain(A, old)) is None


def test_a_grown_history_below_other_steps_is_no_start():
    old, new = step("env", history=["r1"]), step("env", history=["r1", "r2"])
    assert saved(chain(new, B), chain(old, B)) is None


def test_the_longest_start_wins():
    found = [chain(A), chain(A, B), chain(C), chain()]
    candidates = [(one.fingerprint, one.facts()) for one in found]
    assert best_start(chain(A, B, C), candidates) == (1, 2)
    assert best_start(chain(A, build="x"), candidates) is None


@pytest.mark.parametrize(
    "facts", [{}, {"before": 3}, {"before": "x", "history": "y"}, {"history": [1]}]
)
def test_facts_somebody_else_wrote_are_no_start(facts):
    assert start_after(chain(A, B), "0" * 32, facts) is None


def test_the_chain_without_its_last_steps_is_the_chain_of_the_first():
    assert chain(A, B).first(1) == chain(A)
    assert isinstance(chain(A).first(0), Chain)
