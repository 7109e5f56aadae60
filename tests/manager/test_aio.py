"""The awaited face of the same engine."""

from __future__ import annotations

import asyncio

from freshpg import aio


def test_a_lease_and_a_reset_can_be_awaited(manager):
    async def use():
        async with aio.lease(manager, isolation="reset") as database:
            async with await database.aconnect() as connection:
                await connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
            assert await aio.reset(database)
            async with await database.aconnect() as connection:
                row = await (await connection.execute("SELECT count(*) FROM customer")).fetchone()
                assert row == (1,)
        await aio.stop(manager)

    asyncio.run(use())


def test_sequences_and_truncation_can_be_awaited(manager):
    async def use():
        async with aio.lease(manager, isolation="clone") as database:
            assert await aio.reset_sequences(database, to="one") == ("public.customer_id_seq",)
            assert (await aio.truncate(database, "customer", dry_run=True)).rows == 1
        await aio.stop(manager)

    asyncio.run(use())


def test_a_cancelled_task_gives_its_database_back(manager):
    async def use():
        entered = asyncio.Event()

        async def hold():
            async with aio.lease(manager, isolation="clone"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(use())
    assert manager._grants == {}
