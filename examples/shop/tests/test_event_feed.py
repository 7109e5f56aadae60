"""The event log: written once, read in order, heard at once."""

import asyncio
from contextlib import aclosing

import asyncpg
import psycopg
import pytest

from shop.errors import WrongExpectedVersionError
from shop.feed import NewEvent

TICK = NewEvent("Ticked", {"loud": True})
PATIENCE = 5.0


async def test_what_is_appended_can_be_read(feed):
    position = await feed.append("clock", 0, TICK)

    (event,) = await feed.read()

    assert (event.position, event.stream, event.version) == (position, "clock", 1)
    assert (event.type, event.data) == ("Ticked", {"loud": True})


async def test_positions_begin_with_one_and_have_no_gaps(feed):
    for version in range(4):
        await feed.append("clock", version, TICK)

    assert [event.position for event in await feed.read()] == [1, 2, 3, 4]


async def test_several_events_are_appended_together(feed):
    await feed.append("clock", 0, TICK, TICK, TICK)

    assert [event.version for event in await feed.read_stream("clock")] == [1, 2, 3]


async def test_several_events_are_appended_together_or_not_at_all(feed):
    await feed.append("clock", 0, TICK, TICK)

    with pytest.raises(WrongExpectedVersionError):
        await feed.append("clock", 1, TICK, TICK, TICK)

    assert len(await feed.read_stream("clock")) == 2


async def test_every_stream_counts_for_itself(feed):
    await feed.append("clock", 0, TICK)
    await feed.append("watch", 0, TICK)

    assert [event.version for event in await feed.read()] == [1, 1]


async def test_a_stream_cannot_skip_a_version(feed):
    with pytest.raises(WrongExpectedVersionError, match="has not reached version 3"):
        await feed.append("clock", 3, TICK)


async def test_of_several_writers_that_expect_one_version_one_wins(feed):
    results = await asyncio.gather(
        *(feed.append("clock", 0, TICK) for _ in range(4)), return_exceptions=True
    )

    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, WrongExpectedVersionError) for result in results) == 3


async def test_writers_of_different_streams_do_not_disturb_each_other(feed):
    await asyncio.gather(*(feed.append(f"clock-{number}", 0, TICK) for number in range(8)))

    assert len(await feed.read()) == 8


async def test_reading_goes_on_after_a_position(feed):
    await feed.append("clock", 0, TICK, TICK, TICK)

    first = await feed.read(limit=2)
    rest = await feed.read(after=first[-1].position)

    assert [event.version for event in first + rest] == [1, 2, 3]


async def test_a_reader_never_overtakes_a_slow_writer(feed, shop_db, somebody_waits):
    """The later writer waits for the earlier one, so no position shows up behind a reader."""
    insert = "INSERT INTO events (stream, version, type, data) VALUES ('slow', 1, 'Ticked', '{}')"
    async with await shop_db.aconnect() as slow:
        await slow.execute(insert)
        quick = asyncio.create_task(feed.append("quick", 0, TICK))
        await somebody_waits()
        assert await feed.read() == []
        await slow.commit()
    await quick

    assert [event.stream for event in await feed.read()] == ["slow", "quick"]


async def test_a_follower_hears_of_an_event_that_is_appended_later(feed):
    async with aclosing(feed.follow()) as events:
        heard = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        await feed.append("clock", 0, TICK)

        assert (await asyncio.wait_for(heard, PATIENCE)).stream == "clock"


async def test_a_follower_first_catches_up(feed):
    await feed.append("clock", 0, TICK, TICK, TICK)

    async with aclosing(feed.follow(after=1)) as events:
        caught_up = [await asyncio.wait_for(anext(events), PATIENCE) for _ in range(2)]

    assert [event.version for event in caught_up] == [2, 3]


async def test_a_follower_misses_nothing_while_writers_are_busy(feed):
    async def write(stream: str) -> None:
        for version in range(5):
            await feed.append(stream, version, TICK)

    async with aclosing(feed.follow()) as events:
        writers = asyncio.gather(write("clock"), write("watch"))
        heard = [await asyncio.wait_for(anext(events), PATIENCE) for _ in range(10)]
        await writers

    assert [event.position for event in heard] == list(range(1, 11))


async def test_a_follower_hears_nothing_of_what_was_rolled_back(feed, shop_db):
    insert = "INSERT INTO events (stream, version, type, data) VALUES ('never', 1, 'Ticked', '{}')"
    async with aclosing(feed.follow()) as events:
        heard = asyncio.create_task(anext(events))
        async with await shop_db.aconnect() as writer:
            await writer.execute(insert)
            await writer.rollback()
        await feed.append("clock", 0, TICK)

        assert (await asyncio.wait_for(heard, PATIENCE)).stream == "clock"


async def test_a_follower_that_stops_gives_its_connection_back_deaf(feed, pool):
    async with aclosing(feed.follow()) as events:
        heard = asyncio.create_task(anext(events))
        await feed.append("clock", 0, TICK)
        await heard

    async with pool.acquire() as connection:
        assert await connection.fetch("SELECT pg_listening_channels()") == []


async def test_a_replay_sees_one_moment_however_long_it_takes(feed):
    await feed.append("clock", 0, *[TICK] * 5)

    versions = []
    async with aclosing(feed.replay(batch=2)) as history:
        async for event in history:
            if event.version == 1:
                await feed.append("clock", 5, TICK)
            versions.append(event.version)

    assert versions == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    ["UPDATE events SET type = 'Else'", "DELETE FROM events", "TRUNCATE events"],
    ids=["changed", "deleted", "truncated"],
)
async def test_history_cannot_be(feed, witness, change):
    await feed.append("clock", 0, TICK)

    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        witness.execute(change)


async def test_the_table_itself_keeps_versions_unique(feed, pool):
    await feed.append("clock", 0, TICK)

    with pytest.raises(asyncpg.UniqueViolationError, match="uq_events_stream_version"):
        await pool.execute(
            "INSERT INTO events (stream, version, type, data) VALUES ('clock', 1, 'Ticked', '{}')"
        )
