"""Event loops come and go, and threads have one each; the pools are the same."""

import asyncio
import os
import random
import sys
import threading
from contextlib import suppress

import pytest
from tenants_world import succeeded, together

from freshpg.core.errors import TenantDatabaseMissing, TenantPoolsClosed
from freshpg.tenants import AsyncTenantPools, TenantLimits

TENANTS = ("acme", "globex", "initech", "umbrella")
PID = "SELECT pg_backend_pid()"


async def turns_until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what changes it knows of no event)
            await asyncio.sleep(0.001)


@pytest.fixture
def outside(world, request):
    """Pools that no loop has seen yet."""
    given = getattr(request, "param", {})
    pools = AsyncTenantPools(
        world.tenants,
        system=world.system,
        limits=TenantLimits(**{"max_per_tenant": 1, "wait": 30} | given),
        application_name="aio-loops",
    )
    pools.application_name = "aio-loops"
    yield pools
    if not pools.closed:
        asyncio.run(pools.close())
    world.settled(pools, 0)


def test_a_connection_outlives_the_loop_it_was_opened_in(outside):
    pids = [asyncio.run(outside.fetch_one("acme", PID)) for _ in range(2)]

    assert pids[0] == pids[1]


def test_a_connection_handed_over_wakes_a_task_in_another_threads_loop(outside):
    held, got = threading.Event(), []

    async def hold():
        async with outside.tenant("acme"):
            held.set()
            await turns_until(lambda: outside.stats().waiting)

    async def wait():
        got.append(await outside.fetch_one("acme", PID))

    holding = threading.Thread(target=asyncio.run, args=(hold(),))
    holding.start()
    assert held.wait(30)
    asyncio.run(wait())
    holding.join(30)

    assert len(got) == 1
    assert outside.stats().totals.opened == 1


def test_what_a_dead_loops_task_waited_for_goes_to_the_next(outside):
    async def scenario():
        async with outside.tenant("acme"):
            # A loop that ends with a caller still in the queue, as a thread does that is torn down.
            other = asyncio.new_event_loop()
            waiting = other.create_task(outside.fetch_one("acme", PID))

            def run():
                other.run_until_complete(asyncio.sleep(0))
                while not outside.stats().waiting:
                    other.run_until_complete(asyncio.sleep(0))
                other.close()

            thread = threading.Thread(target=run)
            thread.start()
            await asyncio.to_thread(thread.join, 30)
            assert outside.stats().waiting == 1
            # Nobody will ever run it again.
            waiting._log_destroy_pending = False
        return waiting, await outside.fetch_one("acme", PID)

    waiting, row = asyncio.run(scenario())
    waiting.get_coro().close()

    assert row is not None
    assert outside.stats().waiting == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_uses_none_of_its_parents_connections(outside):
    parents = asyncio.run(outside.fetch_one("acme", PID))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            row = asyncio.run(outside.fetch_one("acme", PID))
            asyncio.run(outside.close())
            os.write(writing, str(row[0]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        childs = pipe.read()
    os.waitpid(child, 0)

    assert childs.isdigit()
    assert int(childs) != parents[0]
    assert asyncio.run(outside.fetch_one("acme", PID)) == parents


def test_upkeep_closes_what_rests_in_whichever_loop_runs(world):
    pools = AsyncTenantPools(
        world.tenants,
        limits=TenantLimits(idle=0.05, lifetime=None),
        application_name="aio-upkeep",
    )
    pools.application_name = "aio-upkeep"

    async def use_and_rest():
        await pools.fetch_one("acme", PID)
        before = pools.stats().connections
        await turns_until(lambda: not pools.stats().connections)
        return before

    rested = [asyncio.run(use_and_rest()) for _ in range(2)]
    asyncio.run(pools.close())

    assert rested == [1, 1]
    assert pools.stats().totals.expired == 2


def test_pools_that_were_never_used_close_without_a_server():
    pools = AsyncTenantPools("host=/nowhere dbname=wa_{tenant}")
    asyncio.run(pools.close())

    with pytest.raises(TenantPoolsClosed):
        asyncio.run(pools.execute("acme", PID))


@pytest.mark.parametrize(
    "outside", [{"max_connections": 4, "system_connections": 1, "idle": 0.0}], indirect=True
)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_a_stress_run_over_several_loops_loses_nothing_however_threads_are_switched(
    outside, world, seed
):
    """Loops of their own in threads, tasks in each that race, cancel and fail; threads change places at random."""
    chance = random.Random(seed)
    interval = sys.getswitchinterval()

    async def caller(chance):
        for _ in range(12):
            sys.setswitchinterval(chance.choice([1e-6, 1e-5, 1e-4]))
            tenant, act = chance.choice([*TENANTS, "missing"]), chance.random()
            with suppress(TimeoutError):
                try:
                    if act < 0.7:
                        (name,) = await outside.fetch_one(tenant, "SELECT current_database()")
                        assert name == f"wa_{tenant}"
                    elif act < 0.8:
                        await outside.close_tenant(tenant)
                    elif act < 0.85:
                        outside.expire()
                    elif act < 0.95:
                        # Cancelled wherever it is at that moment.
                        async with asyncio.timeout(chance.random() / 100):
                            await outside.fetch_one(tenant, "SELECT pg_sleep(0.002)")
                    else:
                        async with outside.tenant(tenant) as connection:
                            await connection.close()
                except TenantDatabaseMissing:
                    assert tenant == "missing"

    async def loop(seeds):
        await asyncio.gather(*(caller(random.Random(seed)) for seed in seeds))

    def thread():
        asyncio.run(loop([chance.random() for _ in range(4)]))

    try:
        succeeded(together([thread] * 4))
    finally:
        sys.setswitchinterval(interval)
    stats = outside.stats()

    assert (stats.used, stats.opening, stats.waiting) == (0, 0, 0)
    assert stats.totals.opened - stats.totals.closed == stats.idle
    assert stats.evictions + stats.totals.expired > 0
    assert stats.connections <= 4
    world.settled(outside, stats.idle)
