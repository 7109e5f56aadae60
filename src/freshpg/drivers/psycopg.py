"""psycopg: pools on a leased database, and asynchronous connections for code that has no loop yet."""

from __future__ import annotations

import asyncio
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from freshpg.drivers.loops import PATIENCE, end_in
from freshpg.drivers.refusals import require_installed, require_own_sessions

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import psycopg
    import psycopg_pool

    from freshpg.handle import Database


def connect_outside_loops(database: Database) -> psycopg.AsyncConnection[Any]:
    """Return an open asynchronous connection that any asyncio loop may use next.

    psycopg asks for the running loop at each wait and keeps none, so a connection made in a loop of ours serves the
    loop of the test: https://www.psycopg.org/psycopg3/docs/advanced/async.html. It is made in a thread because a loop
    may run in this one.
    """
    if database.isolation == "rollback":
        return _without_waiting(database.aconnect())
    made: list[psycopg.AsyncConnection[Any]] = []
    failed: list[BaseException] = []

    def connect() -> None:
        loop = asyncio.new_event_loop()
        try:
            made.append(loop.run_until_complete(database.aconnect()))
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            failed.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=connect, name="freshpg connect")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def end_outside_loops(connection: psycopg.AsyncConnection[Any]) -> None:
    """Close an asynchronous connection without its loop, which may have ended.

    Below psycopg, closing comes to the same; a connection of a rollback test leaves the session it shares to the others.
    """
    from freshpg.isolation.rollback.connection import AsyncRollbackConnection

    if isinstance(connection, AsyncRollbackConnection):
        connection.finish()
    else:
        connection.pgconn.finish()


def _without_waiting(
    opening: Coroutine[Any, Any, psycopg.AsyncConnection[Any]],
) -> psycopg.AsyncConnection[Any]:
    """Run what awaits nothing: the session of a rollback test is open already, and belongs to this thread."""
    try:
        opening.send(None)
    except StopIteration as opened:
        connection: psycopg.AsyncConnection[Any] = opened.value
        return connection
    raise AssertionError("the session of a rollback test was not open")


def pool(database: Database, **options: Any) -> psycopg_pool.ConnectionPool[Any]:
    """Open a pool on a leased database; ``options`` go to ``psycopg_pool.ConnectionPool``. It is closed with the lease.

    Raises:
        DriverUnusable: psycopg_pool is not installed, or the database has isolation ``rollback``.
    """
    _require_pools(database)
    import psycopg_pool

    made = psycopg_pool.ConnectionPool(**_pool_options(database, options), open=True)
    database.at_leave(partial(made.close, timeout=PATIENCE))
    return made


async def apool(database: Database, **options: Any) -> psycopg_pool.AsyncConnectionPool[Any]:
    """Open an asynchronous pool in the running loop; see :func:`pool`. Close it before the loop ends.

    Raises:
        DriverUnusable: psycopg_pool is not installed, or the database has isolation ``rollback``.
    """
    _require_pools(database)
    import psycopg
    import psycopg_pool

    opened: weakref.WeakSet[psycopg.AsyncConnection[Any]] = weakref.WeakSet()
    given: Any = options.pop("connection_class", psycopg.AsyncConnection)

    class Noted(given):  # type: ignore[misc]  # chosen at run time
        """Connections that can be closed without the pool."""

        @classmethod
        async def connect(cls, *args: Any, **arguments: Any) -> Any:
            connection = await super().connect(*args, **arguments)
            opened.add(connection)
            return connection

    made = psycopg_pool.AsyncConnectionPool(
        **_pool_options(database, options), connection_class=Noted, open=False
    )
    await made.open()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if not made.closed:
            end_in(loop, partial(made.close, PATIENCE), lambda: None)
        for connection in tuple(opened):
            connection.pgconn.finish()

    database.at_leave(leave)
    return made


def _require_pools(database: Database) -> None:
    require_installed("psycopg_pool", "psycopg[pool]", "a pool of psycopg")
    require_own_sessions(
        database, "a pool of psycopg", "or use connections: db.connect(); they are one session"
    )


def _pool_options(database: Database, options: dict[str, Any]) -> dict[str, Any]:
    keywords = {**database.conninfo.keywords(), **(options.pop("kwargs", None) or {})}
    return {"min_size": 1, "max_size": 10, **options, "kwargs": keywords}
