"""A cancelled task leaves the queue and loses no connection, at whichever moment."""

import asyncio

import pytest

from freshpg.testing import FaultyServer

pytestmark = pytest.mark.asyncio
PID = "SELECT pg_backend_pid()"


@pytest.fixture
def one(make):
    """Pools with one connection for a tenant."""
    return make(limits={"max_per_tenant": 1})


async def cancelled(task):
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return isinstance(result, asyncio.CancelledError)


async def test_a_cancelled_caller_leaves_the_queue_and_the_next_is_served(one, hold, until):
    holder = await hold(one, "acme")
    first, second = (asyncio.create_task(one.fetch_one("acme", PID)) for _ in range(2))
    await until(lambda: one.stats().waiting == 2)
    was_cancelled = await cancelled(first)
    left = one.stats().waiting
    await holder.end()

    assert was_cancelled
    assert left == 1
    assert await second == (holder.pid,)


async def test_a_connection_handed_over_at_the_moment_of_cancellation_goes_to_the_next(
    one, hold, until
):
    holder = await hold(one, "acme")
    first, second = (asyncio.create_task(one.fetch_one("acme", PID)) for _ in range(2))
    await until(lambda: one.stats().waiting == 2)
    holder._let_go.set()
    # The grant is in the books; the caller has not had its turn yet.
    await until(lambda: one.stats().waiting == 1)
    was_cancelled = await cancelled(first)

    assert was_cancelled
    assert await second == (holder.pid,)
    assert one.stats().totals.opened == 1


async def test_a_place_handed_over_at_the_moment_of_cancellation_goes_to_the_next(
    make, hold, until
):
    """What is handed over is no connection but the right to open one, at the expense of what rests."""
    pools = make(limits={"max_pools": 1})
    holder = await hold(pools, "acme")
    first, second = (
        asyncio.create_task(pools.fetch_one(tenant, "SELECT current_database()"))
        for tenant in ("globex", "initech")
    )
    await until(lambda: pools.stats().waiting == 2)
    holder._let_go.set()
    await until(lambda: pools.stats().waiting < 2)
    was_cancelled = await cancelled(first)

    assert was_cancelled
    assert await second == ("wa_initech",)


async def test_a_caller_cancelled_while_its_connection_is_opened_gives_its_place_back(
    make, world, until
):
    async with FaultyServer(world.conninfo) as faulty:
        address = {**world.conninfo.keywords(), **faulty.conninfo.keywords()}
        pools = make(
            tenants=lambda tenant: {**address, "dbname": f"wa_{tenant}"},
            system=None,
            limits={"max_per_tenant": 1},
        )
        await pools.execute("globex", PID)
        faulty.half_open()
        opening = asyncio.create_task(pools.fetch_one("acme", PID))
        await until(lambda: pools.stats().opening)
        was_cancelled = await cancelled(opening)
        stats = pools.stats()
        faulty.heal()
        row = await pools.fetch_one("acme", PID)
        await pools.close()

    assert was_cancelled
    assert stats.of("acme") is None
    assert row is not None


async def test_a_statement_that_is_cancelled_leaves_its_connection_fit_for_the_next(
    one, world, until
):
    pid = await one.fetch_one("acme", PID)
    asleep = asyncio.create_task(one.execute("acme", "SELECT pg_sleep(60)"))
    await until(lambda: world.is_asleep(*pid))
    was_cancelled = await cancelled(asleep)

    assert was_cancelled
    assert await one.fetch_one("acme", PID) == pid
    assert one.stats().used == 0


async def test_what_a_cancelled_block_wrote_is_rolled_back(one):
    await one.execute("acme", "DELETE FROM note")
    written = asyncio.Event()

    async def write():
        async with one.tenant("acme") as connection:
            await connection.execute("INSERT INTO note (body) VALUES ('lost')")
            written.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await written.wait()
    was_cancelled = await cancelled(writing)

    assert was_cancelled
    assert await one.execute("acme", "SELECT body FROM note") == []
    assert one.stats().totals.opened == 1


async def test_a_caller_cancelled_in_its_check_or_reset_loses_no_connection(make, until):
    reached, pause = asyncio.Event(), asyncio.Event()

    async def slowly(connection):
        reached.set()
        await pause.wait()

    for option in ("check", "reset"):
        reached.clear()
        pools = make(**{option: slowly}, limits={"max_per_tenant": 1})
        caller = asyncio.create_task(pools.execute("acme", PID))
        await reached.wait()
        was_cancelled = await cancelled(caller)
        stats = pools.stats()
        assert was_cancelled
        assert (stats.used, stats.opening) == (0, 0)


async def test_a_caller_cancelled_while_another_asks_the_server_for_its_size_stops_nobody(
    make, world, until
):
    async with FaultyServer(world.conninfo) as faulty:
        address = {**world.conninfo.keywords(), **faulty.conninfo.keywords()}
        pools = make(tenants=lambda tenant: {**address, "dbname": f"wa_{tenant}"}, system=None)
        faulty.half_open()
        first, second = (asyncio.create_task(pools.fetch_one("acme", PID)) for _ in range(2))
        await until(lambda: faulty.connections)
        was_cancelled = await cancelled(first)
        faulty.heal()
        row = await second
        await pools.close()

    assert was_cancelled
    assert row is not None


async def test_a_cancelled_caller_is_no_timeout(one, hold, until):
    await hold(one, "acme")
    waiting = asyncio.create_task(one.fetch_one("acme", PID))
    await until(lambda: one.stats().waiting)
    await cancelled(waiting)

    assert one.stats().totals.timeouts == 0
