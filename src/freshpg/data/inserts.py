"""Writes rows and remembers which, so that they can be removed again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.data.journal import traces
from freshpg.data.shown import shown_row
from freshpg.data.values import to_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from freshpg.data.channel import Channel
    from freshpg.data.journal import Journal
    from freshpg.data.tables import Column, TargetTable

MOST_PARAMETERS = 20_000
"""Parameters in one statement; the protocol's limit is 65,535."""

MOST_ROWS = 1_000
"""Rows in one statement."""


class Inserts:
    """Inserts rows through one channel."""

    def __init__(self, channel: Channel, journal: Journal) -> None:
        self._channel = channel
        self._journal = journal

    def write(self, table: TargetTable, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Insert rows and return them as they are in the table now.

        Raises:
            DataInvalid: A column does not exist; nothing was inserted.
            psycopg.Error: The server refused them, with a note that says which rows; nothing was inserted.
        """
        columns = table.require_columns(name for row in rows for name in row)
        written: list[dict[str, Any]] = []
        with self._channel.together():
            for chunk in _chunks(rows, len(columns)):
                written += self._write_chunk(table, columns, chunk)
        return written

    def _write_chunk(
        self,
        table: TargetTable,
        columns: Sequence[Column],
        rows: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        statement, parameters = insert_statement(table, columns, rows)
        try:
            found = self._channel.rows(statement, parameters)
        except psycopg.Error as error:
            error.add_note(_which(table, rows))
            raise
        names = [column.name for column in table.columns]
        written = [dict(zip(names, row, strict=False)) for row in found]
        self._journal.note(table, [row[len(names) :] for row in found])
        return written


def insert_statement(
    table: TargetTable, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, list[Any]]:
    """Return the statement that inserts ``rows`` and returns them, each with its traces."""
    returned = ", ".join([*(column.read for column in table.columns), *traces(table)])
    into = f"INSERT INTO {table.sql}"
    if not columns and len(rows) == 1:
        return f"{into} DEFAULT VALUES RETURNING {returned}", []
    # Rows without any value: a value list must name a column, and any may be left to its default.
    named = columns or table.columns[:1]
    parameters: list[Any] = []
    lines = []
    for row in rows:
        cells = []
        for column in named:
            if column.name in row:
                cells.append(f"%s::{column.cast}")
                parameters.append(to_parameter(column, row[column.name]))
            else:
                cells.append("DEFAULT")
        lines.append(f"({', '.join(cells)})")
    names = ", ".join(column.sql for column in named)
    # A number given for a GENERATED ALWAYS key is meant.
    overriding = " OVERRIDING SYSTEM VALUE" if any(column.always for column in columns) else ""
    values = ", ".join(lines)
    return f"{into} ({names}){overriding} VALUES {values} RETURNING {returned}", parameters


def _chunks(rows: Sequence[Mapping[str, Any]], width: int) -> Iterator[list[Mapping[str, Any]]]:
    size = max(1, min(MOST_ROWS, MOST_PARAMETERS // max(1, width)))
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _which(table: TargetTable, rows: Sequence[Mapping[str, Any]]) -> str:
    first = shown_row(rows[0])
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"freshpg: while {first or 'a row of defaults'}{more} went into {table.shown}"
