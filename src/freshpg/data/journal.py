"""What one helper inserted, and how to remove exactly that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.core.errors import DataInUse
from freshpg.data.tables import sql_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.data.channel import Channel
    from freshpg.data.tables import TargetTable

Trace = tuple[str, ...]
"""What a row is found by again, as text: its key; without one its place and the transaction that put it there."""

_REFERRED_TO = frozenset({"23001", "23503"})


def traces(table: TargetTable) -> tuple[str, ...]:
    """Return the expressions of a row's trace."""
    # A place may have got another row since; the transaction that wrote it tells.
    columns = [sql_name(name) for name in table.primary_key] or ["tableoid", "ctid", "xmin"]
    return tuple(f"{column}::text" for column in columns)


class Journal:
    """Traces of rows by table."""

    def __init__(self) -> None:
        self._traces: dict[TargetTable, list[Trace]] = {}

    def note(self, table: TargetTable, rows: Iterable[Trace]) -> None:
        """Remember rows that were just inserted."""
        self._traces.setdefault(table, []).extend(rows)

    def remove(self, channel: Channel) -> dict[str, int]:
        """Delete what is remembered and still there; return how many rows went, by table.

        Raises:
            DataInUse: Rows that something else inserted refer to it; nothing was deleted.
        """
        noted = {table: rows for table, rows in self._traces.items() if rows}
        if not noted:
            return {}
        statement, parameters = delete_statement(noted)
        try:
            (counts,) = channel.rows(statement, parameters)
        except psycopg.Error as error:
            if error.sqlstate not in _REFERRED_TO:
                raise
            raise _in_use(error) from error
        self._traces.clear()
        return dict(zip((table.qualified for table in noted), counts, strict=True))


def delete_statement(noted: Mapping[TargetTable, list[Trace]]) -> tuple[str, list[Any]]:
    """Return one statement that deletes all of these rows and counts them by table.

    One statement, because foreign keys are checked at its end: rows that refer to each other, in whatever cycle, go
    together, and no order has to be found.
    """
    deletes, parameters = [], []
    for number, (table, rows) in enumerate(noted.items()):
        width = len(rows[0])
        keys = [table.column(name) for name in table.primary_key]
        # Not as text, where there is a key: its index can then be used.
        left = [column.sql for column in keys] or list(traces(table))
        right = [f"k{place}::{column.cast}" for place, column in enumerate(keys)]
        names = ", ".join(f"k{place}" for place in range(width))
        lists = ", ".join("pg_catalog.unnest(%s::text[])" for _ in range(width))
        deletes.append(
            f"d{number} AS (DELETE FROM {table.sql} WHERE ({', '.join(left)}) IN"
            f" (SELECT {', '.join(right) or names} FROM ROWS FROM ({lists}) AS key({names}))"
            " RETURNING 1)"
        )
        parameters += [list(column) for column in zip(*rows, strict=True)]
    counts = ", ".join(f"(SELECT count(*) FROM d{number})" for number in range(len(noted)))
    return f"WITH {', '.join(deletes)} SELECT {counts}", parameters


def _in_use(error: psycopg.Error) -> DataInUse:
    detail = error.diag
    words = [text for text in (detail.message_primary, detail.message_detail) if text]
    return DataInUse(
        "rows that test data set up were to be removed",
        on=f"{detail.schema_name}.{detail.table_name}" if detail.table_name else "",
        seen="\n".join(words) or str(error),
        todo=(
            "remove the rows that refer to them first",
            "or empty the table with all that depends on it: truncate()",
            "or reset the database",
        ),
        table=detail.table_name or "",
        constraint=detail.constraint_name or "",
    )
