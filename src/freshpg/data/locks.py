"""``db.locked(table, key)``: a row held for a critical section, on a connection of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from freshpg.core.errors import DataInvalid, WaitTimedOut
from freshpg.data.catalog import Catalog
from freshpg.data.channel import Channel
from freshpg.data.questions import conditions
from freshpg.data.shown import shown_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freshpg.data.tables import TargetTable
    from freshpg.handle import Database

_GRACE = 5.0
"""Seconds beyond our own deadline after which the server ends the wait by itself, were we to vanish."""

_CANCEL_LIMIT = 2.0

_CONNECT_LIMIT = 10
"""Whole seconds, as libpq counts them."""

_ANSWER_LIMIT = "-c statement_timeout=10s"

_HOLDERS = """
SELECT a.pid, a.usename, a.application_name, a.state, a.query,
       EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8
  FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) AS blocker(pid)
  JOIN pg_catalog.pg_stat_activity a ON a.pid = blocker.pid
 ORDER BY a.pid
"""


@contextmanager
def locked(
    database: Database, table: str, key: Any, *, deadline: float = 5.0
) -> Iterator[dict[str, Any]]:
    """Hold one row ``FOR UPDATE`` during a ``with`` block and yield it.

    The lock is on a connection of its own, so it keeps every other one from the row, this test's included, and sees
    only what is committed.

    Args:
        database: Where the row is.
        table: Its table, as in SQL.
        key: Its primary key; a tuple, or a mapping of columns, where that has several columns.
        deadline: Seconds to wait for the lock.

    Raises:
        TableUnknown: There is no such table.
        DataInvalid: The table has no row of this key, or no key.
        WaitTimedOut: Somebody else held the row until the deadline; ``holders`` says who.
    """
    with _connect(database, f"freshpg lock for {database.test}"[:63]) as connection:
        target = Catalog(Channel(database, connection)).table(table)
        where, parameters = conditions(target, _key(target, key))
        # Given back by the end of the transaction, and that comes whatever becomes of us.
        with connection.transaction(force_rollback=True):
            patience = int((deadline + _GRACE) * 1000)
            connection.execute(
                "SELECT pg_catalog.set_config('lock_timeout', %s, true)", (f"{patience}",)
            )
            wait = _Wait(connection, f"SELECT * FROM {target.sql}{where} FOR UPDATE", parameters)
            if not wait.ended_within(deadline):
                on = f"{target.shown}, {shown_row(_key(target, key))}"
                raise _timed_out(database, on, connection.info.backend_pid, deadline, wait)
            if wait.row is None:
                raise _no_row(target, key)
            yield wait.row


def _connect(database: Database, name: str, options: str = "") -> psycopg.Connection[Any]:
    keywords: dict[str, Any] = database.conninfo.keywords()
    # What the address says of sessions of the test is for these, too; they only need an end.
    keywords |= {
        "application_name": name,
        "connect_timeout": _CONNECT_LIMIT,
        "options": f"{keywords.get('options', '')} {options}".strip(),
    }
    return psycopg.connect(**keywords, autocommit=True)


class _Wait:
    """A statement that waits for a lock, in a thread, so that who holds it can be asked meanwhile."""

    def __init__(
        self, connection: psycopg.Connection[Any], statement: str, parameters: list[Any]
    ) -> None:
        self.row: dict[str, Any] | None = None
        self._connection = connection
        self._statement = statement
        self._parameters = parameters
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="freshpg lock", daemon=True)
        self._thread.start()

    def ended_within(self, seconds: float) -> bool:
        """Wait for the lock; raises what the statement raised."""
        try:
            self._thread.join(seconds)
        except BaseException:
            self.give_up()
            raise
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def give_up(self) -> None:
        """End the statement."""
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_CANCEL_LIMIT)
        self._thread.join(_CANCEL_LIMIT)

    def _run(self) -> None:
        try:
            cursor = self._connection.cursor(row_factory=dict_row)
            self.row = cursor.execute(self._statement.encode(), self._parameters).fetchone()
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            self._error = error


def _key(table: TargetTable, key: Any) -> Mapping[str, Any]:
    if isinstance(key, dict):
        return key
    values = key if isinstance(key, tuple) else (key,)
    if len(values) != len(table.primary_key):
        columns = ", ".join(table.primary_key)
        raise DataInvalid(
            "a row was to be locked",
            on=table.shown,
            seen=f"its primary key is ({columns}), {len(values)} given"
            if columns
            else "it has no primary key",
            todo=("name the columns: locked(table, {'column': value})",),
            table=table.qualified,
        )
    return dict(zip(table.primary_key, values, strict=True))


def _no_row(table: TargetTable, key: Any) -> DataInvalid:
    return DataInvalid(
        "a row was to be locked",
        on=f"{table.shown}, {shown_row(_key(table, key))}",
        seen="there is no such row, as far as is committed",
        todo=("insert it first, and commit",),
        table=table.qualified,
    )


def _timed_out(
    database: Database, on: str, waiter: int, deadline: float, wait: _Wait
) -> WaitTimedOut:
    try:
        with _connect(database, "freshpg", _ANSWER_LIMIT) as other:
            rows = other.execute(_HOLDERS, (waiter,)).fetchall()
    finally:
        wait.give_up()
    holders = tuple(_holder(*row) for row in rows)
    return WaitTimedOut(
        f"waited {deadline:g} s for the lock of a row",
        on=on,
        seen="\n".join(f"held by {one}" for one in holders) or "nobody holds it any more",
        todo=(
            "end the holder's transaction before: commit, or roll back",
            "give the wait more time: locked(…, deadline=…)",
        ),
        holders=holders,
        pids=tuple(row[0] for row in rows),
    )


def _holder(  # noqa: PLR0917 (one row of the query)
    pid: int, user: str, application: str, state: str, query: str, age: float | None
) -> str:
    who = f"pid {pid} ({application or user})"
    since = f", in a transaction for {age:.1f} s" if age is not None else ""
    last = " ".join((query or "").split())
    return f"{who}, {state}{since}: {last[:120]}"
