"""Asks for rows: statements built of names that exist, and conditions whose values are parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DataInvalid
from freshpg.data.snapshots import Contents
from freshpg.data.values import to_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from freshpg.data.channel import Channel
    from freshpg.data.tables import TargetTable


class Questions:
    """Reads tables through one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def rows(
        self,
        table: TargetTable,
        *,
        where: Mapping[str, Any] | None = None,
        columns: Iterable[str] | None = None,
        order_by: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return rows as dictionaries.

        Raises:
            DataInvalid: A column does not exist.
        """
        chosen = table.require_columns(columns) if columns is not None else table.columns
        condition, parameters = conditions(table, where)
        named = ", ".join(column.read for column in chosen)
        order = ", ".join(_order(table, one) for one in order_by)
        statement = f"SELECT {named} FROM {table.sql}{condition}"
        if order:
            statement += f" ORDER BY {order}"
        if limit is not None:
            statement += f" LIMIT {int(limit)}"
        names = [column.name for column in chosen]
        return [
            dict(zip(names, row, strict=True)) for row in self._channel.rows(statement, parameters)
        ]

    def count(self, table: TargetTable, where: Mapping[str, Any] | None = None) -> int:
        """Return how many rows there are."""
        condition, parameters = conditions(table, where)
        return int(self._channel.value(f"SELECT count(*) FROM {table.sql}{condition}", parameters))

    def contents(self, table: TargetTable, name: str, *, limit: int) -> Contents:
        """Return what a table holds: its rows, or of more than ``limit`` their number and a digest."""
        rows = self.rows(table, order_by=table.primary_key, limit=limit + 1)
        if len(rows) <= limit:
            return Contents(name, len(rows), table.primary_key, tuple(rows))
        # A sum of hashes does not depend on the order and needs no memory.
        ((count, digest),) = self._channel.rows(
            f"SELECT count(*), sum(pg_catalog.hashtextextended(t::text, 0)::numeric)::text FROM {table.sql} AS t"
        )
        return Contents(name, count, table.primary_key, None, digest)


def conditions(table: TargetTable, where: Mapping[str, Any] | None) -> tuple[str, list[Any]]:
    """Return the ``WHERE`` that all columns named have these values, and its parameters.

    Raises:
        DataInvalid: A column does not exist.
    """
    if not where:
        return "", []
    parts, parameters = [], []
    for name, value in where.items():
        column = table.column(name)
        if value is None:
            parts.append(f"{column.sql} IS NULL")
            continue
        # The type json has no equality; jsonb has.
        left, cast = (
            (f"{column.sql}::jsonb", "jsonb")
            if column.base == "json"
            else (column.sql, column.cast)
        )
        parts.append(f"{left} = %s::{cast}")
        parameters.append(to_parameter(column, value))
    return f" WHERE {' AND '.join(parts)}", parameters


def _order(table: TargetTable, text: str) -> str:
    name = text.removeprefix("-")
    if not name:
        raise DataInvalid(
            "an order was named",
            on=table.shown,
            seen=repr(text),
            todo=('name columns: order_by=["name", "-id"]; a minus turns the order around',),
        )
    return table.column(name).sql + (" DESC" if text.startswith("-") else "")
