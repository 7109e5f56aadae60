"""What is done to the pool of an engine: dead connections are replaced at checkout, forgotten ones closed with the lease."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

from freshpg.drivers.loops import running_loop
from freshpg.drivers.sqlalchemy.liveness import LOOP, is_closed, is_over

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

    from freshpg.drivers.sqlalchemy.settings import SessionSettings


class WatchedPool:
    """Listens to one pool, and to those that take its place when its engine is disposed of.

    Args:
        pool: The pool; nobody has used it yet.
        settings: What new sessions are told.
        asynchronous: Its connections belong to event loops.
    """

    def __init__(self, pool: Pool, settings: SessionSettings, *, asynchronous: bool) -> None:
        self._asynchronous = asynchronous
        self._statements = settings.statements()
        self._out: dict[int, weakref.ref[Any]] = {}
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        # Recreated pools keep the listeners.
        event.listen(pool, "connect", self._connected)
        event.listen(pool, "checkout", self._checked_out)
        event.listen(pool, "checkin", self._checked_in)

    def close_forgotten(self) -> None:
        """Close what was not given back."""
        forgotten, self._out = self._out, {}
        for known in forgotten.values():
            proxy = known()
            if proxy is None or not proxy.is_valid:
                continue
            with suppress(Exception):
                if self._asynchronous:
                    # psycopg's; nobody can be waited for here.
                    proxy.driver_connection.pgconn.finish()
                else:
                    proxy.invalidate()

    def close_opened(self) -> None:
        """Close every connection of an asynchronous engine, in its loop or without it."""
        for connection in tuple(self._opened):
            if is_closed(connection):
                continue
            if hasattr(connection, "pgconn"):
                # psycopg says goodbye without waiting; a connection that shares its session has its own end.
                getattr(connection, "finish", connection.pgconn.finish)()
            else:
                from freshpg.drivers.asyncpg import end

                end(connection)

    def _connected(self, dbapi_connection: Any, record: Any) -> None:
        if self._asynchronous:
            record.info[LOOP] = running_loop()
            with suppress(TypeError):
                self._opened.add(record.driver_connection)
        if self._statements:
            cursor = dbapi_connection.cursor()
            for statement in self._statements:
                cursor.execute(statement)
            cursor.close()
            # A SET that is rolled back is undone.
            dbapi_connection.commit()

    def _checked_out(self, dbapi_connection: Any, record: Any, proxy: Any) -> None:
        del dbapi_connection
        if is_over(record.driver_connection, record.info):
            raise DisconnectionError("its session was ended")
        self._out[id(record)] = weakref.ref(proxy)

    def _checked_in(self, dbapi_connection: Any, record: Any) -> None:
        del dbapi_connection
        self._out.pop(id(record), None)
