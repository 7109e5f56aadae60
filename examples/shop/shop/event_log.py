"""Appending to the event log inside somebody's transaction: told exactly if it happened."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shop.errors import WrongExpectedVersionError
from shop.models import Event


def order_stream(number: str) -> str:
    """Return the name of an order's stream."""
    return f"order/{number}"


async def append(
    session: AsyncSession, stream: str, expected_version: int, kind: str, data: dict[str, Any]
) -> None:
    """Append one event as the version after the expected one.

    :raises WrongExpectedVersionError: that version has been written by somebody else.
    """
    appended = await session.scalar(
        insert(Event)
        .values(stream=stream, version=expected_version + 1, type=kind, data=data)
        .on_conflict_do_nothing(index_elements=[Event.stream, Event.version])
        .returning(Event.version)
    )
    if appended is None:
        raise WrongExpectedVersionError(f"{stream} is past version {expected_version}")


async def version_of(session: AsyncSession, stream: str) -> int:
    """Return the number of events in the stream."""
    version = await session.scalar(select(func.max(Event.version)).where(Event.stream == stream))
    return version or 0
