"""The rows that other rows require: made where foreign keys that cannot be left out point at nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.core.errors import ParentsImpossible
from freshpg.data.made_up import INTEGERS, made_up
from freshpg.data.values import to_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from itertools import count

    from freshpg.data.catalog import Catalog
    from freshpg.data.channel import Channel
    from freshpg.data.inserts import Inserts
    from freshpg.data.tables import Column, ForeignKey, TargetTable

Wishes = dict[int, dict[str, Any]]
"""What made-up rows hold, by table (oid)."""

_TRIES = 1_000
"""Made-up values of one unique column to try before giving up."""


class Parents:
    """Completes rows of one call.

    Rows of one call share their parents: two orders of one call belong to one customer, and what both the order and its
    customer refer to is one row. They have parents of their own where a unique key demands it, and two foreign keys of
    one table to the same other one get two rows.
    """

    def __init__(
        self,
        catalog: Catalog,
        channel: Channel,
        inserts: Inserts,
        wishes: Wishes,
        numbers: count[int],
    ) -> None:
        self._catalog = catalog
        self._channel = channel
        self._inserts = inserts
        self._wishes = wishes
        self._numbers = numbers
        self._shared: dict[tuple[Any, ...], dict[str, Any]] = {}

    def complete(
        self,
        table: TargetTable,
        row: Mapping[str, Any],
        path: tuple[TargetTable, ...] = (),
        settled: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Return ``row`` with its foreign keys pointing at rows that exist, made now where they did not.

        Foreign keys with a column among ``settled`` are somebody else's to fill.

        Raises:
            ParentsImpossible: The tables require each other, or no value is known for a column.
        """
        whole = dict(row)
        twins: dict[int, int] = {}
        for key in self._catalog.foreign_keys(table):
            twin = twins[key.references] = twins.get(key.references, -1) + 1
            known = {name: whole[name] for name in key.columns if name in whole}
            if settled.intersection(key.columns) or None in known.values():
                continue
            missing = set(key.columns) - set(known)
            if missing and not any(table.column(name).required for name in missing):
                continue
            wanted = {
                other: known[name]
                for name, other in zip(key.columns, key.referenced, strict=True)
                if name in known
            }
            other = self._catalog.by_oid(key.references)
            if not missing and self._exists(other, wanted):
                continue
            alone = bool(missing) and table.is_unique(key.columns)
            parent = self._parent(key, other, wanted, (*path, table), None if alone else twin)
            whole |= dict(zip(key.columns, (parent[name] for name in key.referenced), strict=True))
        return whole

    def _parent(
        self,
        key: ForeignKey,
        other: TargetTable,
        wanted: dict[str, Any],
        path: tuple[TargetTable, ...],
        twin: int | None,
    ) -> dict[str, Any]:
        shared = (other.oid, twin, *sorted((name, repr(value)) for name, value in wanted.items()))
        if twin is not None and shared in self._shared:
            return self._shared[shared]
        wished = {**self._wishes.get(other.oid, {}), **wanted}
        if set(key.referenced) <= set(wished):
            named = {name: wished[name] for name in key.referenced}
            if self._exists(other, named):
                return named
        if other in path:
            raise _cycle(key, other, path)
        made = self._make(other, wished, path)
        if twin is not None:
            self._shared[shared] = made
        return made

    def _make(
        self, table: TargetTable, given: Mapping[str, Any], path: tuple[TargetTable, ...]
    ) -> dict[str, Any]:
        row = self.complete(table, given, path)
        for column in table.columns:
            if column.required and column.name not in row:
                row[column.name] = self._value(table, column)
        try:
            (written,) = self._inserts.write(table, [row])
        except psycopg.IntegrityError as error:
            error.add_note(
                f"freshpg: this row was made up because {path[-1].shown} requires one; say what it is to hold:"
                f' with_parents={{"{table.shown}": {{…}}}}'
            )
            raise
        return written

    def _value(self, table: TargetTable, column: Column) -> Any:
        if column.unique and column.base in INTEGERS:
            return self._channel.value(
                f"SELECT COALESCE(max({column.sql}), 0) + 1 FROM {table.sql}"
            )
        for _ in range(_TRIES):
            value = made_up(column, next(self._numbers))
            if value is None:
                raise _no_value(table, column, f"nothing is known about its type {column.base}")
            if not column.unique or not self._exists(table, {column.name: value}):
                return value
        raise _no_value(table, column, f"{_TRIES} made-up values were taken already")

    def _exists(self, table: TargetTable, values: Mapping[str, Any]) -> bool:
        conditions = " AND ".join(
            f"{column.sql} = %s::{column.cast}" for column in map(table.column, values)
        )
        parameters = [to_parameter(table.column(name), value) for name, value in values.items()]
        return bool(
            self._channel.value(
                f"SELECT EXISTS (SELECT FROM {table.sql} WHERE {conditions})", parameters
            )
        )


def _cycle(key: ForeignKey, other: TargetTable, path: tuple[TargetTable, ...]) -> ParentsImpossible:
    start = path.index(other)
    names = [table.shown for table in (*path[start:], other)]
    return ParentsImpossible(
        "rows that foreign keys require were to be made",
        on=f"{path[-1].shown}, {key.name}",
        seen=f"each requires the next: {' → '.join(names)}",
        todo=(
            f"insert one of these rows yourself and give its key: {', '.join(key.columns)}",
            "or make one of the foreign keys nullable, and set it afterwards",
        ),
        cycle=tuple(names),
        constraint=key.name,
    )


def _no_value(table: TargetTable, column: Column, seen: str) -> ParentsImpossible:
    return ParentsImpossible(
        "a value was to be made up for a row that others require",
        on=f"{table.shown}.{column.name}",
        seen=seen,
        todo=(f'give one: with_parents={{"{table.shown}": {{"{column.name}": …}}}}',),
        table=table.qualified,
        column=column.name,
    )
