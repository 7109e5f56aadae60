"""The event feed for other programs."""

from typing import Annotated

from fastapi import APIRouter, Query

from shop.api.schemas import EventOut
from shop.api.transactions import Feed

router = APIRouter(prefix="/events")


@router.get("")
async def read_events(
    feed: Feed, after: int = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[EventOut]:
    """Return what happened after a position."""
    return [EventOut.model_validate(event) for event in await feed.read(after, limit)]
