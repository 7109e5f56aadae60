"""Attempts to connect that end when their caller's time is over.

libpq counts whole seconds and takes less than 2 for 2
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT), and the driver follows it.
Its attempts are generators, though, which are resumed whenever the socket has news and at short intervals otherwise:
each time, it is asked here whether it is too late.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

_is_late: ContextVar[Callable[[], bool]] = ContextVar("_is_late")


def connect(keywords: Mapping[str, Any], is_late: Callable[[], bool]) -> psycopg.Connection[Any]:
    """Connect as ``psycopg.connect`` does, unless it gets late before.

    Raises:
        psycopg.Error: It failed; ``ConnectionTimeout`` when it was too late.
    """
    _is_late.set(is_late)
    return _Connection.connect(**keywords)


async def connect_async(
    keywords: Mapping[str, Any], is_late: Callable[[], bool]
) -> psycopg.AsyncConnection[Any]:
    """Do the same in a task."""
    _is_late.set(is_late)
    return await _AsyncConnection.connect(**keywords)


# What comes out is the driver's own class: these two only stand in its way to the socket.


class _Connection(psycopg.Connection[Any]):
    @classmethod
    def _connect_gen(cls, *args: Any, **more: Any) -> Any:
        return _unless_late(psycopg.Connection._connect_gen(*args, **more))  # noqa: SLF001 (the class's own)


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    @classmethod
    def _connect_gen(cls, *args: Any, **more: Any) -> Any:
        return _unless_late(psycopg.AsyncConnection._connect_gen(*args, **more))  # noqa: SLF001 (the class's own)


def _unless_late(attempt: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    is_late = _is_late.get()
    try:
        wanted = next(attempt)
        while not is_late():
            ready = yield wanted
            wanted = attempt.send(ready)
    except StopIteration as end:
        return end.value
    finally:
        # The half-open connection is a variable of it.
        attempt.close()
    message = "no answer within the time there was"
    raise psycopg.errors.ConnectionTimeout(message)
