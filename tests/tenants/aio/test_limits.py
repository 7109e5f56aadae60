"""Every limit is kept, said, and shared fairly."""

import asyncio

import pytest
from psycopg.errors import DivisionByZero

from freshpg.core.errors import (
    TenantLimitExceeded,
    TenantLimitsInvalid,
    TenantWaitTimeout,
)
from freshpg.tenants import TenantOverride

pytestmark = pytest.mark.asyncio
WHERE = "SELECT current_database()"
PID = "SELECT pg_backend_pid()"


async def test_the_server_never_sees_more_than_max_connections(make, world):
    pools = make(limits={"max_connections": 6, "system_connections": 2, "max_per_tenant": 4})
    seen = []

    async def use(tenant):
        async with pools.tenant(tenant) as connection:
            await connection.execute("SELECT pg_sleep(0.002)")
            seen.append(len(world.sessions(pools)))

    tenants = ("acme", "globex", "initech") * 8
    await asyncio.gather(*(use(tenant) for tenant in tenants))

    assert len(seen) == 24
    # A backend that was told to end may still be listed while its successor is there.
    assert max(seen) <= 6 + 2
    assert pools.stats().connections <= 4


async def test_a_connection_is_used_again_instead_of_opening_another(make):
    pools = make(limits={"max_per_tenant": 4})
    rows = [await pools.fetch_one("acme", PID) for _ in range(10)]

    assert len(set(rows)) == 1
    assert pools.stats().of("acme").opened == 1


async def test_a_wait_ends_at_its_deadline_and_says_who_holds_what(make, hold):
    pools = make(limits={"max_per_tenant": 1})
    holder = await hold(pools, "acme")
    with pytest.raises(TenantWaitTimeout, match="max_per_tenant") as raised:
        await pools.tenant("acme", timeout=0.02).__aenter__()
    error = raised.value

    assert (error.tenant, error.limit, error.allowed) == ("acme", "max_per_tenant", 1)
    assert [(lease.owner, lease.pid) for lease in error.holders] == [("holder of acme", holder.pid)]
    assert error.waited >= 0.02
    assert pools.stats().totals.timeouts == 1


async def test_a_callers_deadline_takes_nothing_from_anybody(make, hold):
    pools = make(limits={"max_per_tenant": 1, "max_pools": 2})
    await hold(pools, "acme")
    await pools.execute("globex", WHERE)
    for _ in range(3):
        with pytest.raises(TenantWaitTimeout):
            await pools.tenant("acme", timeout=0.0).__aenter__()
    stats = pools.stats()

    assert (stats.of("acme").used, stats.of("globex").idle) == (1, 1)
    assert (stats.evictions, stats.totals.closed, stats.waiting) == (0, 0, 0)


async def test_more_callers_than_may_wait_are_refused_at_once(make, hold, until):
    pools = make(limits={"max_per_tenant": 1, "max_waiting": 1})
    holder = await hold(pools, "acme")
    waiting = asyncio.create_task(pools.fetch_one("acme", PID))
    await until(lambda: pools.stats().waiting)
    with pytest.raises(TenantLimitExceeded, match="max_waiting") as raised:
        await pools.fetch_one("acme", PID)
    await holder.end()

    assert not isinstance(raised.value, TenantWaitTimeout)
    assert await waiting == (holder.pid,)
    assert pools.stats().limit_hits["max_waiting"] == 1


async def test_what_rests_for_too_long_is_closed(make, world):
    pools = make(limits={"idle": 0.0, "lifetime": None})
    await pools.warm(["acme", "globex"])
    pools.expire()

    assert world.settled(pools, 0) == []
    assert pools.stats().totals.expired == 2


async def test_what_is_too_old_is_not_used_again(make):
    pools = make(limits={"lifetime": 0.0})
    rows = [await pools.fetch_one("acme", PID) for _ in range(2)]

    assert rows[0] != rows[1]


async def test_the_statistics_are_what_the_server_says(make, hold, world):
    pools = make()
    holders = [await hold(pools, tenant) for tenant in ("acme", "acme", "globex", None)]
    await pools.execute("initech", WHERE)
    stats = pools.stats()
    sessions = world.settled(pools, 5)

    assert stats.connections == 5
    assert {pool.tenant: pool.connections for pool in (*stats.pools, stats.system)} == {
        "acme": 2,
        "globex": 1,
        "initech": 1,
        None: 1,
    }
    assert {pid for _, pid in sessions} >= {holder.pid for holder in holders}
    assert sorted(lease.pid for lease in pools.leases()) == sorted(one.pid for one in holders)


async def test_a_tenant_has_no_more_than_its_own_maximum(make, world):
    pools = make(
        limits={"max_per_tenant": 2}, overrides={"globex": TenantOverride(max_connections=1)}
    )
    for tenant in ("acme", "globex"):
        await asyncio.gather(*(pools.execute(tenant, WHERE) for _ in range(10)))
    names = [name for name, _ in world.settled(pools, 3)]

    assert names == ["wa_acme", "wa_acme", "wa_globex"]


async def test_the_system_pool_is_served_while_tenants_use_all_they_may(make, hold):
    pools = make(limits={"max_connections": 3, "system_connections": 1, "max_per_tenant": 2})
    for tenant in ("acme", "globex"):
        await hold(pools, tenant)
    with pytest.raises(TenantWaitTimeout, match="max_connections"):
        await pools.tenant("initech", timeout=0.01).__aenter__()

    assert await pools.execute_system(WHERE) == [("wapp",)]


async def test_the_tenant_used_longest_ago_gives_way_and_never_one_that_is_held(make, hold, world):
    pools = make(limits={"max_pools": 3})
    await hold(pools, "acme")
    await pools.execute("globex", WHERE)
    await pools.execute("initech", WHERE)
    await pools.execute("umbrella", WHERE)
    names = [name for name, _ in world.settled(pools, 3)]

    assert names == ["wa_acme", "wa_initech", "wa_umbrella"]
    assert pools.stats().evictions == 1


async def test_a_noisy_tenant_starves_nobody(make, hold, until):
    pools = make(limits={"max_connections": 5, "system_connections": 4, "max_per_tenant": 4})
    holder = await hold(pools, "umbrella")
    served = []

    async def use(tenant):
        async with pools.tenant(tenant):
            served.append(tenant)

    noisy = [asyncio.create_task(use("acme")) for _ in range(20)]
    await until(lambda: pools.stats().waiting == 20)
    quiet = asyncio.create_task(use("globex"))
    await until(lambda: pools.stats().waiting == 21)
    await holder.end()
    await asyncio.gather(*noisy, quiet)

    assert len(served) == 21
    assert served.index("globex") <= 2


async def test_limits_above_what_the_server_has_are_refused_with_both_figures(make):
    pools = make(limits={"max_connections": 98})
    with pytest.raises(TenantLimitsInvalid, match="98") as raised:
        await pools.open()

    assert (raised.value.wanted, raised.value.capacity) == (98, 97)


async def test_an_error_in_a_block_leaks_no_connection(make, world):
    pools = make(limits={"max_per_tenant": 1})
    for _ in range(5):
        with pytest.raises(DivisionByZero):
            await pools.execute("acme", "SELECT 1/0")

    assert await pools.fetch_one("acme", WHERE) == ("wa_acme",)
    assert pools.stats().of("acme").opened == 1
    assert len(world.settled(pools, 1)) == 1


async def test_clean_up_releases_everything_there_was(make, hold, world):
    pools = make(limits={"max_per_tenant": 2})
    holders = [await hold(pools, tenant) for tenant in ("acme", "globex", None)]
    await pools.warm(["initech"])
    closing = asyncio.create_task(pools.close())
    for holder in holders:
        await holder.end()
    await closing

    assert world.settled(pools, 0) == []
    assert pools.leases() == []
