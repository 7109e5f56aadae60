"""Transactions that lost against another one are worth a second try.

PostgreSQL asks for it by SQLSTATE: 40001 (serialization failure) and 40P01 (deadlock), see
https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

TRANSIENT = frozenset({"40001", "40P01"})


@dataclass(frozen=True)
class RetryPolicy:
    """How often to try, and how long to wait in between, in seconds."""

    attempts: int = 12
    first_delay: float = 0.002
    longest_delay: float = 0.1

    def delay(self, failures: int) -> float:
        """Return a random share of a delay that doubles with every failure."""
        longest = min(self.first_delay * 2**failures, self.longest_delay)
        return random.uniform(0, longest)


DEFAULT_POLICY = RetryPolicy()


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE behind an error of psycopg, asyncpg or SQLAlchemy, if it has one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_transient(error: BaseException) -> bool:
    """Tell whether the same transaction may succeed when it is run again."""
    return sqlstate(error) in TRANSIENT


def retrying(work: Callable[[], T], policy: RetryPolicy = DEFAULT_POLICY) -> T:
    """Run ``work``, a whole transaction, until it is not the one that lost.

    :raises Exception: what ``work`` raised, if not transient or at the last attempt.
    """
    failures = 0
    while True:
        try:
            return work()
        except Exception as error:
            failures += 1
            if failures >= policy.attempts or not is_transient(error):
                raise
        time.sleep(policy.delay(failures))


async def retrying_async(
    work: Callable[[], Awaitable[T]], policy: RetryPolicy = DEFAULT_POLICY
) -> T:
    """Run ``work`` like :func:`retrying` does, without blocking the event loop."""
    failures = 0
    while True:
        try:
            return await work()
        except Exception as error:
            failures += 1
            if failures >= policy.attempts or not is_transient(error):
                raise
        await asyncio.sleep(policy.delay(failures))
