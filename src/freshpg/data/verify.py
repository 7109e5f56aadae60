"""Compares rows with what a test expects, and says in what they differ. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freshpg.data.shown import shown_row
from freshpg.data.values import to_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freshpg.data.tables import Column, TargetTable

Row = dict[str, Any]

MOST_LINES = 20
"""Rows that a message lists."""


def mismatch(
    table: TargetTable,
    expected: Sequence[Mapping[str, Any]],
    found: Sequence[Row],
    *,
    in_order: bool,
    total: int,
) -> str:
    """Return what a failed assertion says; empty when the rows are as expected.

    Values are compared with ``==``, the expected one on the left, so ``pytest.approx(…)`` and ``unittest.mock.ANY`` may
    stand among them.
    """
    wanted = [_comparable(table, row) for row in expected]
    if in_order:
        if len(wanted) == total and all(map(_equal, wanted, found)):
            return ""
        lines = _side_by_side(wanted, found)
    else:
        missing, unexpected, agreeing = _matched(wanted, found)
        if not missing and not unexpected and len(wanted) == total:
            return ""
        lines = [
            *(f"  - {shown_row(row)}" for row in missing),
            *(f"  + {shown_row(row)}" for row in unexpected),
            *(f"    {shown_row(row)}" for row in agreeing),
        ]
    head = (
        f"rows of {table.shown} are not as expected: {len(wanted)} expected, {total} there"
        " (- missing, + unexpected)"
    )
    rest = len(lines) - MOST_LINES
    more = [f"  … {rest} more"] if rest > 0 else []
    if total > len(found):
        more.append(f"  the first {len(found)} rows were compared")
    return "\n".join([head, *lines[:MOST_LINES], *more])


def _matched(wanted: Sequence[Row], found: Sequence[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    left, missing, agreeing = list(found), [], []
    for row in wanted:
        for place, candidate in enumerate(left):
            if _equal(row, candidate):
                agreeing.append(left.pop(place))
                break
        else:
            missing.append(row)
    return missing, left, agreeing


def _side_by_side(wanted: Sequence[Row], found: Sequence[Row]) -> list[str]:
    lines = []
    for place in range(max(len(wanted), len(found))):
        row = wanted[place] if place < len(wanted) else None
        seen = found[place] if place < len(found) else None
        if row is not None and seen is not None and _equal(row, seen):
            lines.append(f"    {shown_row(seen)}")
            continue
        lines += [f"  - {shown_row(row)}"] if row is not None else []
        lines += [f"  + {shown_row(seen)}"] if seen is not None else []
    return lines


def _equal(row: Row, seen: Row) -> bool:
    return all(value == seen[name] for name, value in row.items())


def _comparable(table: TargetTable, row: Mapping[str, Any]) -> Row:
    return {name: _as_read(table.column(name), value) for name, value in row.items()}


def _as_read(column: Column, value: Any) -> Any:
    """Return a value in the form in which it comes back from the server."""
    from enum import Enum

    if isinstance(value, Enum) and column.base not in {"json", "jsonb"}:
        return to_parameter(column, value)
    if column.kind == "r" and isinstance(value, tuple) and len(value) == 2:
        from psycopg.types.range import Range

        return Range(*value)
    if column.is_array and isinstance(value, tuple):
        return list(value)
    return value
