"""All pools of all workers stay below what one server has."""

from __future__ import annotations

import pytest

from freshpg.tenants.testing.budget import FEWEST, OVERHEAD, Budget, limits_for, workers


@pytest.mark.parametrize(
    "environ, count",
    [
        ({}, 1),
        ({"PYTEST_XDIST_WORKER_COUNT": "4"}, 4),
        ({"PYTEST_XDIST_WORKER_COUNT": "0"}, 1),
        ({"PYTEST_XDIST_WORKER_COUNT": "many"}, 1),
    ],
)
def test_workers_of_xdist_are_counted(environ, count):
    assert workers(environ) == count


@pytest.mark.parametrize("sharers", [1, 2, 4])
def test_workers_that_share_a_server_share_its_connections(sharers):
    budgets = [Budget(97, sharers) for _ in range(sharers)]

    assert sum(budget.total + OVERHEAD for budget in budgets) <= 97


def test_each_takes_half_of_what_is_left_and_gives_it_back():
    budget = Budget(50)
    shares = [budget.take() for _ in range(3)]

    assert shares == [20, 10, 5]
    assert sum(shares) + budget.left == budget.total
    for share in shares:
        budget.give_back(share)
    assert budget.take() == 20


def test_nobody_is_left_without():
    budget = Budget(12, sharers=8)

    assert [budget.take() for _ in range(3)] == [FEWEST] * 3


@pytest.mark.parametrize("share", [FEWEST, 5, 20, 90])
def test_limits_fit_into_a_share(share):
    limits = limits_for(share)

    assert limits.max_connections == share
    assert 1 <= limits.system_connections < share
    assert limits.max_per_tenant <= share - limits.system_connections
