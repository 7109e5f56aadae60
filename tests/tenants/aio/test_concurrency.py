"""Many tasks at once."""

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from freshpg.testing import FaultyServer

pytestmark = pytest.mark.asyncio
WHERE = "SELECT current_database()"


async def test_50_callers_create_different_tenants(make):
    pools = make(limits={"max_connections": 20, "max_per_tenant": 1})

    async def create(number):
        tenant = f"new{number}"
        made = await pools.ensure_database(tenant)
        return made, await pools.fetch_one(tenant, WHERE)

    found = await asyncio.gather(*(create(number) for number in range(50)))

    assert found == [(True, (f"wa_new{number}",)) for number in range(50)]
    assert pools.stats().connections <= 20


@pytest.mark.parametrize("callers", [100, 200])
async def test_many_callers_of_one_tenant_share_one_pool_of_few_connections(make, world, callers):
    pools = make(limits={"max_per_tenant": 3})
    rows = await asyncio.gather(
        *(pools.fetch_one("acme", "SELECT pg_backend_pid()") for _ in range(callers))
    )
    stats = pools.stats()

    assert len(rows) == callers
    assert len(set(rows)) <= 3
    assert stats.of("acme").checkouts == callers
    assert len(world.sessions(pools)) == stats.connections == len(set(rows))


async def test_mixed_reads_and_writes_lose_nothing(make):
    pools = make(limits={"max_per_tenant": 3})
    tenants = ("acme", "globex")
    for tenant in tenants:
        await pools.execute(tenant, "DELETE FROM note")

    async def write(number):
        await pools.execute(
            tenants[number % 2], "INSERT INTO note (body) VALUES (%s)", (str(number),)
        )

    async def read(number):
        return await pools.fetch_one(tenants[number % 2], "SELECT count(*) FROM note")

    work = [write(number) for number in range(40)] + [read(number) for number in range(40)]
    random.Random(4).shuffle(work)
    await asyncio.gather(*work)
    written = {
        tenant: {int(body) for (body,) in await pools.execute(tenant, "SELECT body FROM note")}
        for tenant in tenants
    }

    assert written == {"acme": set(range(0, 40, 2)), "globex": set(range(1, 40, 2))}


async def test_clean_up_in_the_middle_of_use_loses_nobodys_work(make, world):
    pools = make(limits={"max_per_tenant": 2})

    async def use():
        return [await pools.fetch_one("acme", WHERE) for _ in range(10)]

    async def clean():
        for _ in range(10):
            await pools.close_tenant("acme")
            await asyncio.sleep(0)

    *found, _, _ = await asyncio.gather(*(use() for _ in range(8)), clean(), clean())

    assert Counter(row for rows in found for row in rows) == {("wa_acme",): 80}
    assert len(world.settled(pools, pools.stats().connections)) <= 2


async def test_all_close_at_once_and_each_sees_the_end(make, world):
    pools = make()
    await pools.warm(["acme", "globex"])
    await asyncio.gather(*(pools.close() for _ in range(10)))

    assert world.settled(pools, 0) == []


@pytest.mark.parametrize("seed", range(3))
async def test_evictions_race_with_checkouts_and_cancellations_and_lose_nothing(make, world, seed):
    """Room for two tenants, four in use, one task in five cancelled at a turn that chance chooses."""
    chance = random.Random(seed)
    pools = make(limits={"max_pools": 2, "max_per_tenant": 2, "max_connections": 7})
    tenants = ("acme", "globex", "initech", "umbrella")
    wrong = []

    async def use(tenant, turns):
        async with pools.tenant(tenant) as connection:
            for _ in range(turns):
                await asyncio.sleep(0)
            cursor = await connection.execute(WHERE)
            if await cursor.fetchone() != (f"wa_{tenant}",):
                wrong.append(tenant)
            if pools.stats().open_pools > 2 or pools.stats().connections > 7:
                wrong.append(pools.stats())

    tasks = []
    for _ in range(80):
        tasks.append(asyncio.create_task(use(chance.choice(tenants), chance.randrange(4))))
        if chance.random() < 0.2:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            chance.choice(tasks).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    stats = pools.stats()

    assert wrong == []
    assert {type(one) for one in results} <= {type(None), asyncio.CancelledError}
    assert results.count(None) >= 40
    assert (stats.used, stats.opening, stats.waiting) == (0, 0, 0)
    assert stats.evictions > 0
    assert len(world.settled(pools, stats.idle)) == stats.totals.opened - stats.totals.closed


async def test_threads_with_a_loop_each_share_one_manager(make, world):
    pools = make(limits={"max_per_tenant": 2})
    found = []

    async def use():
        found.extend([await pools.fetch_one("acme", WHERE) for _ in range(10)])

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)

    assert found == [("wa_acme",)] * 40
    assert len(world.settled(pools, pools.stats().connections)) <= 2


async def test_rapid_making_and_closing_leaves_nothing(make, world):
    async def cycle():
        pools = make(system=None)
        await pools.execute("acme", WHERE)
        await pools.close()
        return pools

    def descriptors_threads_tasks():
        count = len(list(Path("/dev/fd").iterdir()))
        return count, threading.active_count(), len(asyncio.all_tasks())

    await cycle()
    before = descriptors_threads_tasks()
    made = [await cycle() for _ in range(20)]

    assert descriptors_threads_tasks() == before
    assert [world.settled(pools, 0) for pools in made[-3:]] == [[], [], []]


async def test_a_tenant_that_is_slow_to_connect_blocks_nobody_else(make, world, until):
    async with FaultyServer(world.conninfo) as faulty:
        faulty.half_open()
        slow = {**world.conninfo.keywords(), **faulty.conninfo.with_(dbname="wa_acme").keywords()}
        pools = make(
            tenants=lambda tenant: (
                slow if tenant == "slow" else world.tenants.replace("{tenant}", tenant)
            )
        )
        await pools.open()
        waiting = asyncio.create_task(pools.execute("slow", WHERE))
        await until(lambda: faulty.connections)
        found = await pools.execute("acme", WHERE)
        still_waiting = not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert found == [("wa_acme",)]
    assert still_waiting


async def test_a_stale_pool_is_tested_by_whoever_takes_from_it_without_a_stampede(make, world):
    pools = make(limits={"max_per_tenant": 3}, stale_after=0.0)
    await asyncio.gather(*(pools.execute("acme", "SELECT pg_sleep(0.01)") for _ in range(3)))
    dead = world.sessions(pools)
    world.end(*(pid for _, pid in dead))
    found = await asyncio.gather(*(pools.fetch_one("acme", WHERE) for _ in range(30)))
    stats = pools.stats()

    assert found == [("wa_acme",)] * 30
    assert len(dead) == 3
    assert stats.totals.stale <= 3
    assert stats.totals.opened <= 6
