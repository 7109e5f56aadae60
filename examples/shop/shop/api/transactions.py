"""One request, one transaction, tried again when it lost against another one."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from shop.feed import EventFeed
from shop.retry import retrying_async

T = TypeVar("T")


class Transactions:
    """Runs work in transactions of its own."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Commit what ``work`` did and return what it returned; it may run several times."""

        async def attempt() -> T:
            async with self._sessions.begin() as session:
                return await work(session)

        return await retrying_async(attempt)


def transactions(request: Request) -> Transactions:
    """Return the application's transactions."""
    found: Transactions = request.app.state.transactions
    return found


def feed(request: Request) -> EventFeed:
    """Return the application's event feed."""
    found: EventFeed = request.app.state.feed
    return found


InTransaction = Annotated[Transactions, Depends(transactions)]
Feed = Annotated[EventFeed, Depends(feed)]
