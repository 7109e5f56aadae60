"""The event feed: asyncpg directly, because it streams and listens."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from shop.errors import WrongExpectedVersionError

CHANNEL = "shop_events"


@dataclass(frozen=True)
class RecordedEvent:
    """An event as readers see it."""

    position: int
    stream: str
    version: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class NewEvent:
    """An event that is about to happen."""

    type: str
    data: dict[str, Any]


class EventFeed:
    """Reads, follows and appends to the event log."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def append(self, stream: str, expected_version: int, *events: NewEvent) -> int:
        """Append events to a stream in one transaction; return the position of the last.

        :raises WrongExpectedVersionError: the stream is not at that version.
        """
        position = 0
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                for version, event in enumerate(events, start=expected_version + 1):
                    position = await append_one(connection, stream, version, event)
        except asyncpg.UniqueViolationError as error:
            message = f"{stream} is past version {expected_version}"
            raise WrongExpectedVersionError(message) from error
        return position

    async def read(self, after: int = 0, limit: int = 100) -> list[RecordedEvent]:
        """Return the events after a position, oldest first."""
        rows = await self._pool.fetch(
            "SELECT position, stream, version, type, data FROM events"
            " WHERE position > $1 ORDER BY position LIMIT $2",
            after,
            limit,
        )
        return [recorded(row) for row in rows]

    async def read_stream(self, stream: str) -> list[RecordedEvent]:
        """Return everything that happened in one stream."""
        rows = await self._pool.fetch(
            "SELECT position, stream, version, type, data FROM events"
            " WHERE stream = $1 ORDER BY version",
            stream,
        )
        return [recorded(row) for row in rows]

    async def replay(self, batch: int = 100) -> AsyncIterator[RecordedEvent]:
        """Yield the whole history from one snapshot, a batch in memory at a time."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            query = "SELECT position, stream, version, type, data FROM events ORDER BY position"
            async for row in connection.cursor(query, prefetch=batch):
                yield recorded(row)

    async def follow(self, after: int = 0) -> AsyncIterator[RecordedEvent]:
        """Yield the events after a position, for ever, as soon as they are committed.

        Listening starts before the first read, so nothing falls between the two; a
        notification only wakes the reader and carries nothing it would have to trust.
        """
        news = asyncio.Event()

        def wake(*_: object) -> None:
            news.set()

        async with self._pool.acquire() as connection:
            await connection.add_listener(CHANNEL, wake)
            try:
                while True:
                    news.clear()
                    for event in await self.read(after):
                        after = event.position
                        yield event
                    await news.wait()
            finally:
                await connection.remove_listener(CHANNEL, wake)


async def append_one(
    connection: asyncpg.Connection, stream: str, version: int, event: NewEvent
) -> int:
    """Insert one event right after its predecessor: versions have no gaps."""
    position: int | None = await connection.fetchval(
        "INSERT INTO events (stream, version, type, data)"
        " SELECT $1, $2, $3, $4::jsonb"
        "  WHERE $2 = 1 OR EXISTS (SELECT FROM events WHERE stream = $1 AND version = $2 - 1)"
        " RETURNING position",
        stream,
        version,
        event.type,
        json.dumps(event.data),
    )
    if position is None:
        raise WrongExpectedVersionError(f"{stream} has not reached version {version - 1}")
    return position


def recorded(row: asyncpg.Record) -> RecordedEvent:
    """Return the row as an event."""
    return RecordedEvent(
        row["position"], row["stream"], row["version"], row["type"], json.loads(row["data"])
    )
