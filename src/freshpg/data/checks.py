"""Reading and verifying rows: one half of :class:`~freshpg.data.TestData`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from freshpg.data.snapshots import Diff, Snapshot, compare
from freshpg.data.verify import mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from freshpg.data.catalog import Catalog
    from freshpg.data.questions import Questions
    from freshpg.data.tables import TargetTable

Row = dict[str, Any]

ROWS_KEPT = 1_000
"""Rows of one table that a snapshot keeps; of a larger one it keeps a digest."""

ROWS_COMPARED = 1_000
"""Rows beyond those expected that an assertion reads."""


class Checks:
    """What rows there are, whether they are as expected, and what changed."""

    _catalog: Catalog
    _questions: Questions

    def rows(
        self,
        table: str,
        *,
        where: Mapping[str, Any] | None = None,
        columns: Iterable[str] | None = None,
        order_by: Sequence[str] | str = (),
    ) -> list[Row]:
        """Return rows as dictionaries.

        Args:
            table: Which table.
            where: Values that columns must have; ``None`` means NULL.
            columns: Which columns; all by default.
            order_by: Columns to order by; a minus before a name turns it around.

        Raises:
            TableUnknown, DataInvalid: A table or column does not exist.
        """
        chosen = None if columns is None else tuple(columns)
        order = _names(order_by)
        target = self._table(table, chosen or (), where or (), order)
        return self._questions.rows(target, where=where, columns=chosen, order_by=order)

    def count(self, table: str, *, where: Mapping[str, Any] | None = None) -> int:
        """Return how many rows a table has, or how many of them ``where`` fits."""
        return self._questions.count(self._table(table, where or ()), where)

    def assert_rows(
        self,
        table: str,
        expected: Iterable[Mapping[str, Any]],
        *,
        order_by: Sequence[str] | str = (),
        columns: Iterable[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        """Assert that a table holds these rows and no others.

        Args:
            table: Which table.
            expected: The rows; compared in the columns they name.
            order_by: Columns to order by; without it any order will do.
            columns: Columns to compare, where the rows expected name more, or none are expected.
            where: Only rows with these values count.

        Raises:
            AssertionError: It does not; says which rows are missing and which unexpected.
            TableUnknown, DataInvalid: A table or column does not exist.
        """
        wanted = [dict(row) for row in expected]
        compared = list(columns or dict.fromkeys(name for row in wanted for name in row))
        if columns is not None:
            wanted = [{name: row[name] for name in compared if name in row} for row in wanted]
        order = _names(order_by)
        target = self._table(table, compared, where or (), order)
        found = self._questions.rows(
            target,
            where=where,
            columns=compared or None,
            order_by=order,
            limit=len(wanted) + ROWS_COMPARED,
        )
        total = len(found)
        if total == len(wanted) + ROWS_COMPARED:
            total = self._questions.count(target, where)
        message = mismatch(target, wanted, found, in_order=bool(order), total=total)
        if message:
            raise AssertionError(message)

    def assert_count(self, table: str, n: int, *, where: Mapping[str, Any] | None = None) -> None:
        """Assert that a table has ``n`` rows, or ``n`` that ``where`` fits.

        Raises:
            AssertionError: It has another number of them.
        """
        found = self.count(table, where=where)
        if found != n:
            which = (
                f" where {', '.join(f'{k} is {v!r}' for k, v in where.items())}" if where else ""
            )
            message = (
                f"{n} rows of {self._catalog.table(table).shown}{which} expected, {found} there"
            )
            raise AssertionError(message)

    @contextmanager
    def assert_unchanged(self, *tables: str) -> Iterator[None]:
        """Assert that a ``with`` block leaves tables as they were; without names, all.

        Raises:
            AssertionError: One changed; shows how.
        """
        before = self.snapshot(*tables)
        yield
        found = self.diff(before)
        if found:
            message = f"unchanged tables were expected (- gone, + new, ~ changed)\n{found}"
            raise AssertionError(message)

    def snapshot(self, *tables: str, limit: int = ROWS_KEPT) -> Snapshot:
        """Return what tables hold now; without names, all. Of one with more than ``limit`` rows, number and digest."""
        names = tables or tuple(self._catalog.names())
        contents = {
            name: self._questions.contents(self._catalog.table(name), name, limit=limit)
            for name in names
        }
        return Snapshot(contents)

    def diff(self, before: Snapshot, after: Snapshot | None = None) -> Diff:
        """Return how tables differ from a snapshot, now or in a later one."""
        if after is None:
            # With the same limit a table that was kept then might be too large now.
            now = {
                name: self._questions.contents(
                    self._catalog.table(name),
                    name,
                    limit=0 if contents.rows is None else max(ROWS_KEPT, 2 * contents.count),
                )
                for name, contents in before.tables.items()
            }
            after = Snapshot(now)
        return compare(before, after)

    def _table(self, name: str, *columns: Iterable[str]) -> TargetTable:
        """Return a table; read again when it lacks a column, which the test may have added since."""
        named = {one.removeprefix("-") for several in columns for one in several}
        target = self._catalog.table(name)
        if named <= {column.name for column in target.columns}:
            return target
        return self._catalog.again(name)


def _names(names: Sequence[str] | str) -> Sequence[str]:
    return (names,) if isinstance(names, str) else tuple(names)
