"""Cursors of a rollback test: psycopg's own classes, which look at a statement before it is sent."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import pq
from psycopg._cursor_base import BaseCursor

from freshpg.isolation.rollback.statements import CONTROLS, control_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg._queries import PostgresQuery
    from psycopg.abc import PQGen

    _Base = BaseCursor[Any, Any]
else:
    _Base = object

C = TypeVar("C")

_INSIDE_ONLY = (psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination)
"""What the server says to VACUUM and the like, and to a procedure that commits."""


_HAS_TAG = hasattr(BaseCursor, "_statusmessage")
"""Since psycopg 3.3; before, a cursor reads the tag from a result, and one without a server has none."""


class _Cursor(_Base):
    """What is different: beginnings and ends of transactions become those of the inner one."""

    __slots__ = ()

    def _maybe_prepare_gen(
        self, pgq: PostgresQuery, *, prepare: bool | None = None, binary: bool | None = None
    ) -> PQGen[None]:
        connection = self._conn
        control = control_in(pgq.query)
        if control is not None and control.kind in CONTROLS:
            tag = yield from connection.control_gen(control)
            self._set_results([self._pgconn.make_empty_result(pq.ExecStatus.COMMAND_OK)])
            if _HAS_TAG:
                self._statusmessage = tag
            return
        if control is not None:
            connection.note(control)
        try:
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
            yield from connection.end_of_statement_gen()
        except _INSIDE_ONLY as error:
            raise connection.explained(error) from error
        connection.require_outer()

    def _execute_send(self, query: PostgresQuery, **options: Any) -> None:
        # The last gate, for what does not come through execute(): stream, copy, server-side cursors.
        control = control_in(query.query)
        if control is not None and control.kind in CONTROLS:
            self._conn.refuse_control()
        super()._execute_send(query, **options)


class _SyncCursor(_Cursor):
    __slots__ = ()

    @contextmanager
    def copy(self, *args: Any, **options: Any) -> Iterator[Any]:
        """Copy as psycopg does."""
        with super().copy(*args, **options) as copy:  # type: ignore[misc]
            yield copy
        with self._conn.lock:
            self._conn.wait(self._conn.end_of_statement_gen())


class _AsyncCursor(_Cursor):
    __slots__ = ()

    @asynccontextmanager
    async def copy(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        """Copy as psycopg does."""
        async with super().copy(*args, **options) as copy:  # type: ignore[misc]
            yield copy
        async with self._conn.lock:
            await self._conn.wait(self._conn.end_of_statement_gen())


class _ServerCursor(_Cursor):
    __slots__ = ()

    _withhold: bool

    def _declare_gen(self, *args: Any, **options: Any) -> PQGen[None]:
        self._conn.note_cursor(withhold=self._withhold)
        yield from super()._declare_gen(*args, **options)  # type: ignore[misc]

    def _close_gen(self) -> PQGen[None]:
        if not self._withhold and self._conn.info.transaction_status == pq.TransactionStatus.IDLE:
            return  # it went with its transaction
        yield from super()._close_gen()  # type: ignore[misc]


@lru_cache(maxsize=64)
def class_for(base: type) -> type:
    """Return the class of cursors that does what ``base`` does, inside a rollback test."""
    if issubclass(base, _Cursor):
        return base
    ours: type[_Cursor] = _SyncCursor if issubclass(base, psycopg.Cursor) else _AsyncCursor
    if issubclass(base, psycopg.ServerCursor | psycopg.AsyncServerCursor):
        ours = _ServerCursor
    return type(base.__name__, (ours, base), {"__slots__": (), "__module__": base.__module__})


def adopt(cursor: C) -> C:
    """Make a cursor one of ours, whatever class the user chose for it."""
    if not isinstance(cursor, _Cursor):
        base: type = type(cursor)
        cursor.__class__ = class_for(base)
    return cursor


def adopt_its_cursor(generator: Any) -> None:
    """Do the same for a cursor that was made without asking the connection: ``ClientCursor(connection)``."""
    frame = generator.gi_frame
    owner = frame.f_locals.get("self") if frame is not None else None
    if isinstance(owner, BaseCursor):
        adopt(owner)
