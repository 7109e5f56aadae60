"""asyncpg: connections and pools on a leased database, closed with the lease.

A connection of asyncpg belongs to the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from freshpg.drivers.loops import end_in
from freshpg.drivers.refusals import require_installed, require_own_sessions

if TYPE_CHECKING:
    import asyncpg

    from freshpg.handle import Database

__all__ = ["connect", "pool"]

_INSTALL = "freshpg[asyncpg]"


async def connect(database: Database, **options: Any) -> asyncpg.Connection[Any]:
    """Open a connection in the running loop; ``options`` go to ``asyncpg.connect``. It is closed with the lease at the latest.

    With isolation ``rollback`` it is a session of its own inside a transaction of its own: what it commits is not seen
    by ``db.connect()`` and is gone when the lease ends.

    Raises:
        DriverUnusable: asyncpg is not installed.
    """
    require_installed("asyncpg", _INSTALL, "a connection of asyncpg")
    import asyncpg

    url = database.url_for("asyncpg")
    if database.isolation == "rollback":
        from freshpg.drivers.asyncpg.rollback import RollbackConnection

        options["connection_class"] = RollbackConnection
    connection = await asyncpg.connect(url, **options)
    _end_with_lease(database, connection)
    if database.isolation == "rollback":
        await connection.begin_outer()
    return connection


async def pool(database: Database, **options: Any) -> asyncpg.Pool[Any]:
    """Open a pool in the running loop; ``options`` go to ``asyncpg.create_pool``. It is closed with the lease at the latest.

    Raises:
        DriverUnusable: asyncpg is not installed, or the database has isolation ``rollback``.
    """
    require_installed("asyncpg", _INSTALL, "a pool of asyncpg")
    require_own_sessions(
        database,
        "a pool of asyncpg",
        "or use one connection: await freshpg.drivers.asyncpg.connect(db)",
    )
    import asyncpg

    options.setdefault("min_size", 1)
    opened: weakref.WeakSet[Any] = weakref.WeakSet()
    init = options.pop("init", None)

    async def note(connection: Any) -> None:
        # The pool gives out a proxy; the connection below it is what has the socket.
        opened.add(connection)
        if init is not None:
            await init(connection)

    made = await asyncpg.create_pool(database.url_for("asyncpg"), init=note, **options)
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if not made.is_closing():
            end_in(loop, made.close, lambda: _cut_all(opened))
        _cut_all(opened)

    database.at_leave(leave)
    return made


def _end_with_lease(database: Database, connection: Any) -> None:
    known = weakref.ref(connection)

    def leave() -> None:
        still = known()
        if still is not None:
            end(still)

    database.at_leave(leave)


def _cut_all(connections: weakref.WeakSet[Any]) -> None:
    for connection in tuple(connections):
        if not connection.is_closed():
            cut(connection)


def end(connection: Any) -> None:
    """Close a connection from anywhere, in its own loop where that is possible."""
    if not connection.is_closed():
        loop = connection._loop  # noqa: SLF001 (asyncpg has no public way to it)
        end_in(loop, connection.close, lambda: cut(connection))


def cut(connection: Any) -> None:
    """End the session of a connection from any thread, whatever became of its loop."""
    transport = connection._transport  # noqa: SLF001 (asyncpg has no public way to its socket)
    held = transport.get_extra_info("socket") if transport is not None else None
    if held is not None and held.fileno() >= 0:
        with suppress(OSError), socket.socket(fileno=os.dup(held.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
    # Where the loop still runs it lets go of the transport too.
    with suppress(Exception):
        connection.terminate()
