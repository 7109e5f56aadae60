"""One session that carries out the pieces of a script, each before a deadline.

It speaks through libpq's asynchronous calls, because a script may switch any time-out of the server off (pg_dump's
first line does) and a blocking call could then wait for ever.
https://www.postgresql.org/docs/current/libpq-async.html
"""

from __future__ import annotations

import re
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import pq
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus

from freshpg.core.errors import ServerDied
from freshpg.postgres.admin import connect_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.core.clock import Deadline
    from freshpg.core.conninfo import Conninfo

_SLICE = 0.5
"""Seconds between two looks at the clock while the server works."""

_CANCEL_PATIENCE = 2.0
_COPY_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)


class DeadlinePassed(Exception):
    """The deadline came while the server was at work; callers turn it into an error of ours."""


@dataclass(eq=False)
class Refusal(Exception):
    """What the server said when it refused a statement; callers turn it into an error of ours."""

    severity: str
    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    context: str = ""
    position: int = 0
    """Character of the statement the server points at, from 1; 0 when it points nowhere."""

    @property
    def copy_line(self) -> int:
        """Line of the COPY data the server points at, from 1; 0 when it points nowhere."""
        found = _COPY_LINE.search(self.context)
        return int(found[1]) if found else 0

    def words(self) -> str:
        """Return what psql would show."""
        parts = [f"{self.severity} {self.sqlstate}: {self.message}"]
        labels = (("DETAIL", self.detail), ("HINT", self.hint), ("CONTEXT", self.context))
        return "\n".join(parts + [f"{label}: {text}" for label, text in labels if text])


class ScriptSession:
    """A connection of the test role that obeys one deadline. Not thread-safe."""

    def __init__(self, connection: psycopg.Connection[Any], deadline: Deadline) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._deadline = deadline

    @classmethod
    def open(cls, conninfo: Conninfo, deadline: Deadline, *, name: str) -> Self:
        """Connect; ``name`` shows in ``pg_stat_activity``.

        Raises:
            FreshpgError: The server cannot be reached or refuses.
        """
        keywords: dict[str, Any] = conninfo.keywords()
        keywords |= {
            "client_encoding": "UTF8",
            "application_name": name[:63],
            "connect_timeout": max(2, min(10, round(deadline.remaining))),
        }
        try:
            connection = psycopg.connect(**keywords, autocommit=True)
        except psycopg.Error as error:
            raise connect_error(error, conninfo) from None
        return cls(connection, deadline)

    @property
    def pid(self) -> int:
        """Process id of the server's side."""
        return self._pg.backend_pid

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._pg.transaction_status != TransactionStatus.IDLE

    @property
    def standard_strings(self) -> bool:
        """Whether backslashes are plain characters in ``'…'`` now."""
        return self._pg.parameter_status(b"standard_conforming_strings") != b"off"

    def run(self, statement: str, data: Iterable[bytes] = ()) -> list[tuple[str | None, ...]]:
        """Carry out one statement, with the data it copies from; return the rows of its last result as text.

        Raises:
            Refusal: The server refused it.
            DeadlinePassed: It did not end in time; it was cancelled.
            ServerDied: The connection broke.
        """
        try:
            return self._exchange(statement, data)
        except psycopg.Error as error:
            raise self._died(str(error)) from error

    def value(self, query: str) -> str | None:
        """Return the first column of the first row of a query, as text."""
        rows = self.run(query)
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _exchange(self, statement: str, data: Iterable[bytes]) -> list[tuple[str | None, ...]]:
        self._pg.send_query(statement.encode())
        self._flush()
        refusal: Refusal | None = None
        rows: list[tuple[str | None, ...]] = []
        while result := self._next_result():
            status = result.status
            if status == ExecStatus.COPY_IN:
                self._copy_in(data)
            elif status == ExecStatus.COPY_OUT:
                self._copy_out()
            elif status == ExecStatus.TUPLES_OK:
                rows = _rows(result)
            elif status == ExecStatus.FATAL_ERROR:
                refusal = _refusal(result)
        if self._pg.status == ConnStatus.BAD:
            raise self._died(refusal.message if refusal else "")
        if refusal:
            raise refusal
        return rows

    def _copy_in(self, data: Iterable[bytes]) -> None:
        for chunk in data:
            self._pg.put_copy_data(chunk)
            self._flush()
            # A server that refused the first row need not be sent the rest.
            if _readable(self._pg.socket, 0):
                self._pg.consume_input()
                if not self._pg.is_busy():
                    break
        self._pg.put_copy_end()
        self._flush()

    def _copy_out(self) -> None:
        while (size := self._pg.get_copy_data(1)[0]) >= 0:
            if size == 0:
                self._wait_readable()
                self._pg.consume_input()

    def _next_result(self) -> pq.abc.PGresult | None:
        while self._pg.is_busy():
            self._wait_readable()
            self._pg.consume_input()
        return self._pg.get_result()

    def _flush(self) -> None:
        while self._pg.flush():
            readable, _, _ = select.select([self._pg.socket], [self._pg.socket], [], self._slice())
            if readable:
                self._pg.consume_input()

    def _wait_readable(self) -> None:
        while not _readable(self._pg.socket, self._slice()):
            pass

    def _slice(self) -> float:
        if self._deadline.expired:
            raise DeadlinePassed
        return min(_SLICE, self._deadline.remaining)

    def cancel(self) -> None:
        """Ask the server to give up what it is doing; the connection is of no use afterwards."""
        try:
            self._connection.cancel_safe(timeout=_CANCEL_PATIENCE)
        except psycopg.Error:
            # The session ends with its connection, or with its database.
            return

    def _died(self, seen: str) -> ServerDied:
        return ServerDied(
            "the connection broke while a script was carried out",
            on=f"{self._connection.info.dbname}",
            seen=seen.strip(),
            todo=(
                "look into the server's log: a crash, a full disk or a lack of memory stands there",
            ),
        )


def _readable(socket: int, seconds: float) -> bool:
    return bool(select.select([socket], [], [], seconds)[0])


def _rows(result: pq.abc.PGresult) -> list[tuple[str | None, ...]]:
    def cell(row: int, column: int) -> str | None:
        value = result.get_value(row, column)
        return None if value is None else value.decode(errors="replace")

    columns = range(result.nfields)
    return [tuple(cell(row, column) for column in columns) for row in range(result.ntuples)]


def _refusal(result: pq.abc.PGresult) -> Refusal:
    def field(which: DiagnosticField) -> str:
        return (result.error_field(which) or b"").decode(errors="replace")

    position = field(DiagnosticField.STATEMENT_POSITION)
    return Refusal(
        severity=field(DiagnosticField.SEVERITY) or "ERROR",
        sqlstate=field(DiagnosticField.SQLSTATE),
        message=field(DiagnosticField.MESSAGE_PRIMARY)
        or result.error_message.decode(errors="replace").strip(),
        detail=field(DiagnosticField.MESSAGE_DETAIL),
        hint=field(DiagnosticField.MESSAGE_HINT),
        context=field(DiagnosticField.CONTEXT),
        position=int(position) if position else 0,
    )
