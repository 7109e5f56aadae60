"""Whom a crash concerns, in which order things start and stop, and how many crashes are too many."""

import pytest

from freshpg.supervision.strategy import ChildSpec, GiveUp, Intensity, Restart, Strategy

CHILDREN = (
    ChildSpec("keeper"),
    ChildSpec("postmaster", scope="rest_for_one"),
    ChildSpec("lease", intensity=None),
    ChildSpec("stock", intensity=Intensity(2, 10)),
)


@pytest.fixture
def strategy():
    return Strategy(CHILDREN)


def test_children_stop_in_the_reverse_of_their_start(strategy):
    assert strategy.start_order == ("keeper", "postmaster", "lease", "stock")
    assert strategy.stop_order == ("stock", "lease", "postmaster", "keeper")


def test_one_for_one_concerns_the_crashed_child_alone(strategy):
    assert strategy.crashed("keeper", 0) == Restart((), ("keeper",))


def test_rest_for_one_restarts_those_that_started_later_as_well(strategy):
    assert strategy.crashed("postmaster", 0) == Restart(
        ("stock", "lease"), ("postmaster", "lease", "stock")
    )


def test_the_third_crash_in_thirty_seconds_is_one_too_many(strategy):
    assert [type(strategy.crashed("keeper", now)) for now in (0, 10, 30)] == [
        Restart,
        Restart,
        GiveUp,
    ]


def test_crashes_far_enough_apart_are_restarted_for_ever(strategy):
    for number in range(100):
        assert isinstance(strategy.crashed("keeper", number * 15.1), Restart)


def test_each_child_has_its_own_count(strategy):
    for name in ("keeper", "postmaster", "keeper", "postmaster"):
        assert isinstance(strategy.crashed(name, 0), Restart)
    assert strategy.crashed("stock", 0) == Restart((), ("stock",))
    assert strategy.crashed("stock", 9) == GiveUp("stock", 2, 10)


def test_a_child_without_intensity_is_restarted_however_often_it_crashes(strategy):
    for _ in range(100):
        assert isinstance(strategy.crashed("lease", 0), Restart)


def test_two_children_of_one_name_are_refused():
    with pytest.raises(ValueError, match="one name"):
        Strategy((ChildSpec("a"), ChildSpec("a")))
