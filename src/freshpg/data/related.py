"""Objects inside objects: what a factory built for a field that is no column goes where a foreign key leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DataInvalid
from freshpg.data.factories import is_record, left_to_the_server, row_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freshpg.data.catalog import Catalog
    from freshpg.data.tables import ForeignKey, TargetTable

Row = dict[str, Any]


class Related:
    """Turns the objects of one call into rows, those inside them first.

    ``insert`` inserts one row and returns it. An object that several share becomes one row.
    """

    def __init__(self, catalog: Catalog, insert: Callable[[TargetTable, Row], Row]) -> None:
        self._catalog = catalog
        self._insert = insert
        self._done: dict[int, tuple[Any, Row]] = {}

    def row(self, table: TargetTable, built: Any, said: Mapping[str, Any]) -> Row:
        """Return the row that an object becomes; what is inside it is inserted."""
        row = row_of(built)
        # A field called like a column holds its value, a whole object for jsonb; unless it is a foreign key's.
        referring = {name for key in self._catalog.foreign_keys(table) for name in key.columns}
        own = {column.name for column in table.columns} - referring
        inside = {
            name: value for name, value in row.items() if name not in own and is_record(value)
        }
        plain = {name: value for name, value in row.items() if name not in inside}
        plain = left_to_the_server(table, plain, said)
        for name, value in inside.items():
            key = self._key(table, name, value)
            other = self._written(self._catalog.by_oid(key.references), value)
            plain |= dict(zip(key.columns, (other[one] for one in key.referenced), strict=True))
        return plain

    def _written(self, table: TargetTable, value: Any) -> Row:
        if id(value) not in self._done:
            written = self._insert(table, self.row(table, value, {}))
            # The object is kept as well: its id is its own only as long as it lives.
            self._done[id(value)] = (value, written)
        return self._done[id(value)][1]

    def _key(self, table: TargetTable, name: str, value: Any) -> ForeignKey:
        other = table_of(type(value), self._catalog)
        keys = [key for key in self._catalog.foreign_keys(table) if key.references == other.oid]
        if len(keys) > 1:
            keys = [key for key in keys if any(column.startswith(name) for column in key.columns)]
        if len(keys) == 1:
            return keys[0]
        raise DataInvalid(
            "an object inside a factory's object was to become a row",
            on=f"{table.shown}.{name}",
            seen=f"{len(keys) or 'no'} foreign keys lead from there to {other.shown}",
            todo=("call the field like the foreign key's column, or give that column itself",),
            table=table.qualified,
            column=name,
        )
