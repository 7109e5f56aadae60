"""A queue in a table: several workers, each on a connection of a pool, all committing."""

import asyncio

import asyncpg
import pytest


@pytest.fixture
async def pool(pg):
    async with asyncpg.create_pool(pg.url_for("asyncpg"), min_size=0, max_size=4) as pool:
        yield pool


async def add(pool: asyncpg.Pool, count: int) -> None:
    await pool.executemany("INSERT INTO jobs (payload) VALUES ($1)", [("{}",)] * count)


async def take(pool: asyncpg.Pool) -> int | None:
    return await pool.fetchval(
        "UPDATE jobs SET taken_at = now() WHERE id ="
        " (SELECT id FROM jobs WHERE taken_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " RETURNING id"
    )


async def test_jobs_are_taken_in_their_order(pool):
    await add(pool, 2)

    assert [await take(pool) for _ in range(3)] == [1, 2, None]


async def test_workers_at_once_take_every_job_once(pool):
    await add(pool, 20)

    async def work() -> list[int]:
        taken = []
        while (job := await take(pool)) is not None:
            taken.append(job)
        return taken

    shares = await asyncio.gather(*(work() for _ in range(4)))

    assert sorted(job for share in shares for job in share) == list(range(1, 21))


async def test_a_worker_that_fails_leaves_its_job_to_others(pool):
    await add(pool, 1)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE jobs SET taken_at = now()")
        await transaction.rollback()

    assert await take(pool) == 1


async def test_a_listener_hears_of_a_job_when_it_is_committed(pool):
    heard = asyncio.Queue()
    async with pool.acquire() as connection:
        await connection.add_listener("jobs", lambda *message: heard.put_nowait(message[-1]))
        await add(pool, 1)

        assert await asyncio.wait_for(heard.get(), timeout=5) == "1"
        await connection.reset()
