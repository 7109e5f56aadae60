"""Many callers at once: one pool a tenant, no caller blocked by another tenant, nothing lost in a race."""

import random
import sys
import threading
from functools import partial
from itertools import count

import pytest
from tenants_world import PATIENCE, eventually, succeeded, together

from freshpg import errors


def pid(pools, tenant):
    return pools.fetch_one(tenant, "SELECT pg_backend_pid()")[0]


def test_50_callers_create_different_tenants(ground, pools):
    tenants = [f"t{number}" for number in range(50)]
    names = succeeded(
        together(
            [
                lambda tenant=tenant: pools.fetch_one(tenant, "SELECT current_database()")[0]
                for tenant in tenants
            ]
        )
    )
    assert names == [f"ws_{tenant}" for tenant in tenants]
    stats = pools.stats()
    assert (stats.open_pools, stats.totals.opened, stats.idle) == (50, 50, 50)
    assert ground.settled(pools.application_name, names)


@pytest.mark.parametrize("callers", [100, 200])
def test_many_callers_share_one_tenant(make_pools, limits, callers):
    pools = make_pools(limits=limits(max_per_tenant=3))
    inside, most, numbers = set(), [], count()

    def use():
        with pools.tenant("t1") as connection:
            me = next(numbers)
            inside.add(me)
            most.append(len(inside))
            server = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
            inside.discard(me)
        return server

    servers = succeeded(together([use] * callers))
    stats = pools.stats().of("t1")
    assert max(most) <= 3
    assert len(set(servers)) == stats.opened <= 3
    assert (stats.checkouts, stats.idle, stats.waiting) == (callers, stats.opened, 0)


def test_reads_and_writes_mix(pools, limits):
    pools.execute("t3", "CREATE TABLE mixed (n int)")

    def write(number):
        pools.execute("t3", "INSERT INTO mixed VALUES (%s), (%s)", (number, number))

    def read():
        return pools.fetch_one("t3", "SELECT count(*) FROM mixed")[0]

    acts = [lambda number=number: write(number) for number in range(20)] + [read] * 20
    seen = succeeded(together(acts))[20:]
    assert all(rows % 2 == 0 for rows in seen), "somebody read half a transaction"
    assert read() == 40
    pools.execute("t3", "DROP TABLE mixed")


def test_tenants_are_cleaned_up_while_others_use_them(ground, pools):
    tenants = [f"t{number}" for number in range(4)]
    stop = threading.Event()

    def use(tenant):
        return [pools.fetch_one(tenant, "SELECT current_database()")[0] for _ in range(25)]

    def clean_up():
        for tenant in tenants * 12:
            pools.close_tenant(tenant)
        stop.set()

    results = succeeded(together([*[lambda t=tenant: use(t) for tenant in tenants * 2], clean_up]))
    for tenant, names in zip(tenants * 2, results, strict=False):
        assert names == [f"ws_{tenant}"] * 25
    stats = pools.stats()
    assert stats.used == 0
    assert stats.totals.opened - stats.totals.closed == stats.idle
    assert ground.settled(
        pools.application_name,
        ["app"] * (stats.system.idle if stats.system else 0)
        + [f"ws_{pool.tenant}" for pool in stats.pools for _ in range(pool.idle)],
    )


def test_many_close_at_once(pools):
    pools.warm(f"t{number}" for number in range(5))
    assert succeeded(together([pools.close] * 10)) == [None] * 10
    assert pools.stats().connections == 0


def test_closing_wakes_whoever_waits(make_pools, limits, waiting):
    pools = make_pools(limits=limits(max_per_tenant=1))
    holding = threading.Event()

    def hold():
        with pools.tenant("t1"):
            holding.set()
            assert eventually(lambda: pools.closed)

    def wait():
        assert holding.wait(PATIENCE)
        return pid(pools, "t1")

    def end():
        waiting(pools, 3)
        pools.close()

    held, *waited, _ = together([hold, wait, wait, wait, end])
    assert held is None
    assert [type(error) for error in waited] == [errors.TenantPoolsClosed] * 3


def test_tenants_are_created_and_destroyed_in_rapid_turns(ground, pools):
    before = threading.active_count()
    for turn in range(30):
        tenant = f"t{turn % 3}"
        pid(pools, tenant)
        pools.close_tenant(tenant)
        assert pools.stats().connections == 0
    assert threading.active_count() <= before + 1
    totals = pools.stats().totals
    assert (totals.opened, totals.closed, totals.checkouts) == (30, 30, 30)
    assert ground.settled(pools.application_name, [])


def test_a_tenant_that_connects_slowly_blocks_nobody_else(make_pools):
    connecting, finish = threading.Event(), threading.Event()

    def configure(connection):
        if connection.info.dbname == "ws_t1":
            connecting.set()
            assert finish.wait(PATIENCE)

    pools = make_pools(configure=configure)

    def slow():
        return pid(pools, "t1")

    def others():
        assert connecting.wait(PATIENCE)
        try:
            pid(pools, "t2")
            with pools.system():
                return pools.stats().of("t1").opening
        finally:
            finish.set()

    assert succeeded(together([slow, others]))[1] == 1


def test_a_noisy_tenant_does_not_starve_the_others(make_pools, limits, waiting):
    """One connection for all: tenants are served in turn, however many callers one of them has."""
    pools = make_pools(system=None, limits=limits(max_connections=2, system_connections=1))
    served = []

    def use(tenant):
        with pools.tenant(tenant):
            served.append(tenant)

    callers = []
    with pools.tenant("t9"):
        with pools.tenant("t0"):
            for tenant in ["t1"] * 4 + ["t2", "t3"]:
                callers.append(threading.Thread(target=use, args=(tenant,)))
                callers[-1].start()
                waiting(pools, len(callers))
        for thread in callers:
            thread.join(PATIENCE)
    assert served == ["t1", "t2", "t3", "t1", "t1", "t1"]


def test_at_most_one_caller_looks_for_each_dead_connection(ground, make_pools):
    """After the server ended all connections, nobody floods it with tests or connections."""
    checked = []
    pools = make_pools(stale_after=0.0, check=checked.append)
    ready = threading.Barrier(4)

    def hold():
        with pools.tenant("t1"):
            ready.wait(PATIENCE)

    succeeded(together([hold] * 4))
    assert pools.stats().of("t1").idle == 4
    checked.clear()
    assert ground.end_sessions(pools.application_name) == 4
    succeeded(together([lambda: pid(pools, "t1")] * 20))
    stats = pools.stats().of("t1")
    assert stats.stale <= 4
    assert stats.opened <= 8
    assert stats.connections <= 4


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_a_stress_run_loses_nothing_however_threads_are_switched(ground, make_pools, limits, seed):
    """Evictions, closings, expiry and failures race; threads change places at random, microscopic intervals."""
    chance = random.Random(seed)
    tenants = [f"t{number}" for number in range(8)] + ["missing"]
    pools = make_pools(
        limits=limits(max_pools=4, max_per_tenant=2, max_connections=8, idle=0.0, max_waiting=None)
    )
    interval = sys.getswitchinterval()

    def caller(seed):
        chance = random.Random(seed)
        for _ in range(25):
            tenant, act = chance.choice(tenants), chance.random()
            sys.setswitchinterval(chance.choice([1e-6, 1e-5, 1e-4]))
            try:
                if act < 0.8:
                    (name,) = pools.fetch_one(tenant, "SELECT current_database()")
                    assert name == f"ws_{tenant}"
                elif act < 0.9:
                    pools.close_tenant(tenant)
                elif act < 0.95:
                    pools.expire()
                else:
                    with pools.tenant(tenant) as connection:
                        connection.close()
            except errors.TenantDatabaseMissing:
                assert tenant == "missing"

    try:
        succeeded(together([partial(caller, chance.random()) for _ in range(10)]))
    finally:
        sys.setswitchinterval(interval)
    stats = pools.stats()
    assert (stats.used, stats.opening, stats.waiting) == (0, 0, 0)
    assert stats.open_pools <= 4
    assert stats.totals.opened - stats.totals.closed == stats.idle
    # The maintenance thread is still at work, so both sides are asked anew.
    assert eventually(
        lambda: (
            ground.sessions(pools.application_name)
            == sorted(f"ws_{pool.tenant}" for pool in pools.stats().pools for _ in range(pool.idle))
        )
    )
