"""Whether the server has ended the session of a pooled connection: one look at the socket instead of a round trip.

An idle session says nothing; one that was ended, with its database or by a repair, has sent its last words. So there is
no need to ping, which would cost a round trip at each checkout.
"""

from __future__ import annotations

import select
from typing import Any

from freshpg.drivers.loops import running_loop

LOOP = "freshpg_loop"
"""Key under which a pooled connection of an asynchronous engine notes its loop."""


def is_over(connection: Any, notes: dict[Any, Any]) -> bool:
    """Whether a connection must not be used any more: closed, ended by the server, or of another event loop."""
    if LOOP in notes and notes[LOOP] is not running_loop():
        return True
    if is_closed(connection):
        return True
    descriptor = _descriptor(connection)
    return descriptor >= 0 and _has_something_to_say(descriptor)


def is_closed(connection: Any) -> bool:
    """Whether the driver knows a connection to be closed."""
    if hasattr(connection, "is_closed"):
        return bool(connection.is_closed())
    return bool(getattr(connection, "closed", False))


def _descriptor(connection: Any) -> int:
    """Return the socket of a connection of psycopg, psycopg2, asyncpg or pg8000; -1 if it cannot be had."""
    if hasattr(connection, "fileno"):
        return int(connection.fileno())
    transport = getattr(connection, "_transport", None)
    if transport is not None:
        held = transport.get_extra_info("socket")
        return held.fileno() if held is not None else -1
    held = getattr(connection, "_usock", None)
    return held.fileno() if held is not None else -1


def _has_something_to_say(descriptor: int) -> bool:
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))
