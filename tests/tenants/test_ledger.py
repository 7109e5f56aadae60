"""Turns and evictions, one by one; every order of events is played in test_ledger_machine."""

import pytest

from freshpg.tenants.ledger import Closed, Ledger, QueueFull
from freshpg.tenants.limits import TenantLimits
from freshpg.tenants.parts import Waiter

HERE, THERE = "here:5432", "there:5432"


class Desk:
    """A ledger with the shortest of engines: a connection is the name of its tenant and a number."""

    def __init__(self, units=2, **limits):
        chosen = {"max_per_tenant": 2, "system_connections": 1, "idle": 10.0, "lifetime": 100.0}
        self.ledger = Ledger(TenantLimits(**(chosen | limits)))
        self.ledger.set_capacity(HERE, units)
        self.now = 0.0
        self.closed = []
        self.numbers = {}

    def ask(self, tenant, server=HERE):
        limit = self.ledger.limits.max_per_tenant
        return self.ledger.request(tenant, server, limit, f"owner of {tenant}", self.now, None)

    def take(self, tenant, server=HERE):
        self.now += 1
        return self.use(self.ask(tenant, server))

    def use(self, grant):
        """Do what a grant allows; return the leased connection."""
        assert not isinstance(grant, Waiter), "it has to wait"
        self.closed += [member.connection for member in grant.victims]
        if grant.member:
            return grant.member
        tenant = grant.pool.tenant
        number = self.numbers[tenant] = self.numbers.get(tenant, 0) + 1
        return self.ledger.opened(grant, f"{tenant}{number}", f"owner of {tenant}", self.now)

    def give_back(self, member, **how):
        """Return the tenants that were served with it."""
        self.now += 1
        outcome = self.ledger.give_back(member, self.now, **how)
        if outcome is None:
            return []
        self.closed += [one.connection for one in outcome.close]
        return [waiter.pool.tenant for waiter in outcome.wake]


def test_the_same_connection_comes_back_to_the_same_tenant():
    desk = Desk()
    first = desk.take("a")
    desk.give_back(first)
    assert desk.take("a") is first
    assert desk.closed == []


def test_the_connection_used_last_is_taken_first_so_that_others_can_expire():
    desk = Desk()
    cold, warm = desk.take("a"), desk.take("a")
    desk.give_back(cold)
    desk.give_back(warm)
    assert desk.take("a") is warm


def test_the_least_recently_used_tenant_gives_way():
    desk = Desk(units=3)
    for tenant in ("a", "b", "c"):
        desk.give_back(desk.take(tenant))
    desk.give_back(desk.take("a"))
    desk.take("d")
    assert desk.closed == ["b1"]
    assert list(desk.ledger.pools) == ["c", "a", "d"]
    assert desk.ledger.retired.evicted == 1


def test_a_tenant_that_somebody_holds_never_gives_way():
    desk = Desk(units=2)
    desk.take("a")
    desk.give_back(desk.take("b"))
    desk.take("c")
    assert desk.closed == ["b1"]
    assert isinstance(desk.ask("d"), Waiter)


def test_a_resting_connection_beside_one_in_use_gives_way_last():
    desk = Desk(units=3)
    desk.take("a")
    desk.give_back(desk.take("a"))
    desk.give_back(desk.take("b"))
    desk.take("c")
    assert desk.closed == ["b1"]
    desk.take("d")
    assert desk.closed == ["b1", "a2"]
    assert desk.ledger.pools["a"].counters.evicted == 0


def test_where_a_pool_goes_no_other_connection_has_to():
    desk = Desk(units=2, max_pools=2)
    desk.give_back(desk.take("a"))
    desk.give_back(desk.take("b"))
    desk.take("c")
    assert desk.closed == ["a1"]


def test_at_the_most_pools_a_whole_pool_goes():
    desk = Desk(units=9, max_pools=2)
    one, two = desk.take("a"), desk.take("a")
    desk.give_back(desk.take("b"))
    desk.give_back(one)
    desk.give_back(two)
    desk.give_back(desk.take("b"))
    desk.take("c")
    assert sorted(desk.closed) == ["a1", "a2"]
    assert desk.ledger.open_pools == 2


def test_tenants_take_turns_however_many_callers_one_has():
    desk = Desk(units=1)
    held = desk.take("noisy")
    for _ in range(3):
        assert isinstance(desk.ask("noisy"), Waiter)
    for tenant in ("b", "c"):
        desk.ask(tenant)
    served = []
    while desk.ledger.waiting:
        waiters = {p.tenant: p.waiting[0] for p in desk.ledger.pools.values() if p.waiting}
        (tenant,) = desk.give_back(held)
        served.append(tenant)
        held = desk.use(waiters[tenant].grant)
    assert served == ["noisy", "b", "c", "noisy", "noisy"]


def test_who_is_served_goes_to_the_end_of_the_queue_of_tenants():
    desk = Desk(units=1)
    held = desk.take("z")
    waiters = {"a": [desk.ask("a"), desk.ask("a")], "b": [desk.ask("b")]}
    served = []
    while desk.ledger.waiting:
        (tenant,) = desk.give_back(held)
        served.append(tenant)
        held = desk.use(waiters[tenant].pop(0).grant)
    assert served == ["a", "b", "a"]


def test_a_tenant_at_its_own_limit_waits_for_its_own_connections_while_others_are_served():
    desk = Desk(units=3, max_per_tenant=1)
    held = desk.take("a")
    waiter = desk.ask("a")
    desk.take("b")
    assert not waiter.done
    assert desk.give_back(held) == ["a"]
    assert waiter.grant.member is held


def test_within_a_tenant_who_came_first_is_served_first():
    desk = Desk(units=1)
    held = desk.take("a")
    first, then = desk.ask("a"), desk.ask("a")
    desk.give_back(held)
    assert (first.done, then.done) == (True, False)


def test_a_failed_opening_lets_the_next_one_try():
    desk = Desk(units=1)
    grant = desk.ask("a")
    waiter = desk.ask("b")
    outcome = desk.ledger.open_failed(grant, desk.now)
    assert outcome.wake == [waiter]
    assert desk.use(waiter.grant).connection == "b1"


def test_what_is_granted_at_the_last_moment_has_to_be_used():
    desk = Desk(units=1)
    held = desk.take("a")
    waiter = desk.ask("a")
    desk.give_back(held)
    assert desk.ledger.give_up(waiter, desk.now) is False
    assert waiter.grant.member is held


def test_a_caller_that_gives_up_takes_nothing_from_anybody():
    desk = Desk(units=2)
    held, resting = desk.take("a"), desk.take("b")
    desk.give_back(resting)
    desk.take("c")
    waiter = desk.ask("d")
    assert desk.ledger.give_up(waiter, desk.now)
    assert desk.closed == ["b1"]
    assert "d" not in desk.ledger.pools
    assert desk.ledger.retired.timeouts == 1
    assert desk.give_back(held) == []


def test_the_queue_has_an_end():
    desk = Desk(units=1, max_waiting=1)
    desk.take("a")
    desk.ask("b")
    with pytest.raises(QueueFull) as refused:
        desk.ask("c")
    assert refused.value.limit == "max_connections"
    assert desk.ledger.limit_hits == {"max_connections": 2, "max_waiting": 1}
    assert "c" not in desk.ledger.pools


def test_what_rests_for_too_long_goes_and_what_is_used_stays():
    desk = Desk(units=4)
    cold, warm = desk.take("a"), desk.take("a")
    held = desk.take("b")
    desk.give_back(cold)
    desk.now += 8
    desk.give_back(warm)
    desk.now += 4
    outcome = desk.ledger.expire(desk.now)
    assert outcome.close == [cold]
    assert list(desk.ledger.leased()) == [held]


def test_a_connection_that_lived_for_long_enough_is_not_used_again():
    desk = Desk(lifetime=5.0)
    member = desk.take("a")
    desk.now += 5
    desk.give_back(member)
    assert desk.closed == ["a1"]


def test_a_connection_that_is_cut_off_is_handed_over_to_nobody_even_if_it_comes_back_whole():
    desk = Desk(units=1)
    held = desk.take("a")
    waiting = desk.ask("a")
    desk.ledger.condemn(held)
    assert desk.give_back(held) == ["a"]
    assert desk.closed == ["a1"]
    assert desk.use(waiting.grant).connection == "a2"


def test_a_tenant_that_moved_is_counted_where_it_is():
    desk = Desk(units=2)
    desk.ledger.set_capacity(THERE, 1)
    held, rests = desk.take("a"), desk.take("a")
    desk.give_back(rests)
    moved = desk.take("a", THERE)
    assert desk.closed == ["a2"]
    used = {server.key: server.budget.used for server in desk.ledger.servers.values()}
    assert used == {HERE: 1, THERE: 1}
    assert list(desk.ledger.leased()) == [moved, held]
    assert (desk.ledger.out_of("a"), desk.ledger.open_pools) == (2, 2)
    # What comes back from where it was is not kept, and makes room there.
    desk.give_back(held)
    assert desk.closed == ["a2", "a1"]
    assert desk.ledger.servers[HERE].budget.used == 0
    desk.give_back(moved)
    assert desk.take("a", THERE) is moved
    assert (desk.ledger.out, desk.ledger.open_pools, desk.ledger.moved) == (1, 1, set())
    assert desk.ledger.retired.closed == 2


def test_who_waited_where_a_tenant_was_is_served_there_and_counted_there():
    desk = Desk(units=1)
    desk.ledger.set_capacity(THERE, 1)
    held = desk.take("a")
    waiting = desk.ask("a")
    moved = desk.take("a", THERE)
    assert desk.give_back(held) == ["a"]
    late = desk.use(waiting.grant)
    assert desk.ledger.servers[HERE].budget.used == 1
    desk.give_back(late)
    assert late.connection in desk.closed
    assert desk.ledger.servers[HERE].budget.used == 0
    assert list(desk.ledger.leased()) == [moved]


def test_a_closed_tenant_gets_new_connections_and_its_old_ones_do_not_come_back():
    desk = Desk()
    held = desk.take("a")
    desk.give_back(desk.take("a"))
    outcome = desk.ledger.close_tenant("a", desk.now)
    assert [member.connection for member in outcome.close] == ["a2"]
    fresh = desk.take("a")
    desk.give_back(held)
    desk.give_back(fresh)
    assert desk.closed == ["a1"]
    assert desk.take("a") is fresh


def test_what_is_being_opened_while_its_tenant_is_closed_is_used_once():
    desk = Desk()
    grant = desk.ask("a")
    desk.ledger.close_tenant("a", desk.now)
    member = desk.use(grant)
    desk.give_back(member)
    assert desk.closed == ["a1"]


def test_a_dead_connection_casts_doubt_on_all_that_rested_meanwhile():
    desk = Desk(units=3)
    before, dead = desk.take("a"), desk.take("b")
    desk.give_back(before)
    desk.give_back(dead)
    taken = desk.take("b")
    grant = desk.ledger.replace(taken, desk.now)
    desk.use(grant)
    after = desk.take("c")
    desk.give_back(after)
    suspected = desk.ledger.servers[HERE].suspected_at
    assert before.idle_since < suspected < after.idle_since


def test_closing_wakes_all_who_wait_with_nothing():
    desk = Desk(units=1)
    held = desk.take("a")
    waiter = desk.ask("b")
    outcome = desk.ledger.close(desk.now)
    assert outcome.wake == [waiter]
    assert waiter.grant is None
    assert desk.ledger.out == 1
    desk.give_back(held)
    assert desk.closed == ["a1"]
    with pytest.raises(Closed):
        desk.ask("a")


def test_the_system_pool_is_out_of_everybodys_reach():
    desk = Desk(units=3, system_connections=1)
    desk.ledger.set_capacity(HERE, 3, system=True)
    system = desk.ledger.request(None, HERE, 1, "me", 0.0, None)
    resting = desk.use(system)
    desk.give_back(resting)
    for tenant in ("a", "b"):
        desk.take(tenant)
    assert isinstance(desk.ask("c"), Waiter)
    assert desk.closed == []
    assert desk.ledger.take(None, "me", desk.now) is resting


def test_counts_outlive_the_pool_that_was_closed():
    desk = Desk(units=1)
    desk.give_back(desk.take("a"))
    desk.give_back(desk.take("b"))
    assert desk.ledger.retired.checkouts == 1
    assert desk.ledger.retired.closed == 1
    assert desk.ledger.pools["b"].counters.checkouts == 1


def test_who_waits_for_another_server_keeps_nobody_here_from_its_own_connection():
    desk = Desk(units=1)
    desk.ledger.set_capacity("there:5432", 1)
    desk.use(desk.ledger.request("far", "there:5432", 2, "far", 0.0, None))
    elsewhere = desk.ledger.request("farther", "there:5432", 2, "farther", 0.0, None)
    held = desk.take("a")
    waiter = desk.ask("a")
    assert desk.give_back(held) == ["a"]
    assert waiter.grant.member is held
    assert desk.closed == []
    assert not elsewhere.done
