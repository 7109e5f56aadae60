"""What was in some tables, and how that differs from what was there before: as data, and as a patch. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freshpg.data.shown import shown, shown_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]

MOST_LINES = 40
"""Lines a patch shows for one table."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What one table held.

    ``rows`` is ``None`` for a table that was too large to keep; its ``count`` and ``digest`` tell whether it changed.
    ``keys`` are the columns of its primary key.
    """

    table: str
    count: int
    keys: tuple[str, ...] = ()
    rows: tuple[Row, ...] | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What some tables held at one moment, by name."""

    tables: Mapping[str, Contents]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each table held."""
        return {name: contents.count for name, contents in self.tables.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """One row that holds something else than before: its key, and old and new values of the columns that differ."""

    key: Row
    before: Row
    after: Row

    def __str__(self) -> str:
        columns = ", ".join(
            f"{name}: {shown(self.before[name])} → {shown(self.after[name])}" for name in self.after
        )
        return f"{shown_row(self.key)}  {columns}"


@dataclass(frozen=True, slots=True)
class TableDiff:
    """How one table differs; ``unlisted`` when it changed and was too large for its rows to be compared."""

    table: str
    count_before: int
    count_after: int
    inserted: tuple[Row, ...] = ()
    deleted: tuple[Row, ...] = ()
    changed: tuple[Change, ...] = ()
    unlisted: bool = False

    def __bool__(self) -> bool:
        return bool(self.inserted or self.deleted or self.changed or self.unlisted)

    def __str__(self) -> str:
        return "\n".join([self.table, *self._lines()])

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data; values that JSON does not know are still Python's."""
        return {
            "table": self.table,
            "count": [self.count_before, self.count_after],
            "inserted": list(self.inserted),
            "deleted": list(self.deleted),
            "changed": [
                {"key": one.key, "before": one.before, "after": one.after} for one in self.changed
            ],
            "unlisted": self.unlisted,
        }

    def _lines(self) -> Iterator[str]:
        if self.unlisted:
            yield f"  ~ {self.count_before} rows → {self.count_after} rows; too many to list what differs"
        lines = [
            *(f"  - {shown_row(row)}" for row in self.deleted),
            *(f"  + {shown_row(row)}" for row in self.inserted),
            *(f"  ~ {change}" for change in self.changed),
        ]
        yield from lines[:MOST_LINES]
        if len(lines) > MOST_LINES:
            yield f"  … {len(lines) - MOST_LINES} more"


@dataclass(frozen=True, slots=True)
class Diff:
    """How tables differ from before; false when they do not, and ``str()`` reads like a patch."""

    tables: tuple[TableDiff, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.tables)

    def __str__(self) -> str:
        return "\n".join(str(table) for table in self.tables) or "no difference"

    def __getitem__(self, table: str) -> TableDiff:
        """Return how one table differs, by the name that the snapshot was asked for; :class:`KeyError` if it does not."""
        for one in self.tables:
            if one.table == table:
                return one
        raise KeyError(table)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the same as plain data, by table."""
        return [table.to_json() for table in self.tables]


def compare(before: Snapshot, after: Snapshot) -> Diff:
    """Return how the tables that both snapshots have differ."""
    both = [name for name in before.tables if name in after.tables]
    found = (_table_diff(before.tables[name], after.tables[name]) for name in both)
    return Diff(tuple(one for one in found if one))


def without(rows: Iterable[Row], others: Iterable[Row]) -> list[Row]:
    """Return the rows that have no equal among ``others``, each of which counts once."""
    remaining: Counter[str] = Counter()
    for row in others:
        remaining[_identity(row)] += 1
    left = []
    for row in rows:
        identity = _identity(row)
        if remaining[identity]:
            remaining[identity] -= 1
        else:
            left.append(row)
    return left


def _table_diff(before: Contents, after: Contents) -> TableDiff:
    counts = (after.table, before.count, after.count)
    if before.rows is None or after.rows is None:
        same = before.count == after.count and before.digest == after.digest
        return TableDiff(*counts, unlisted=not same)
    gone, new = without(before.rows, after.rows), without(after.rows, before.rows)
    if not after.keys:
        return TableDiff(*counts, inserted=tuple(new), deleted=tuple(gone))
    old = {_key(row, after.keys): row for row in gone}
    fresh = {_key(row, after.keys): row for row in new}
    return TableDiff(
        *counts,
        inserted=tuple(row for key, row in fresh.items() if key not in old),
        deleted=tuple(row for key, row in old.items() if key not in fresh),
        changed=tuple(
            _change(old[key], row, after.keys) for key, row in fresh.items() if key in old
        ),
    )


def _change(before: Row, after: Row, keys: tuple[str, ...]) -> Change:
    differing = [
        name
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or before[name] != after[name]
    ]
    return Change(
        {name: after[name] for name in keys},
        {name: before.get(name) for name in differing},
        {name: after.get(name) for name in differing},
    )


def _key(row: Row, keys: tuple[str, ...]) -> str:
    return repr([row.get(name) for name in keys])


def _identity(row: Row) -> str:
    # Not the values themselves: lists and dictionaries cannot be counted.
    return repr(sorted(row.items(), key=lambda item: item[0]))
