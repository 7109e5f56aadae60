"""Which table comes before which: the graph of a schema's foreign keys. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.schema import cycles
from freshpg.postgres.schema.components import strongly_connected
from freshpg.postgres.schema.cycles import Cycle, find_way
from freshpg.postgres.schema.reach import Path, reach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.postgres.schema.model import ForeignKey, Schema, Table

_Edges = dict[tuple["Table", "Table"], list["ForeignKey"]]


@dataclass(frozen=True, slots=True)
class Component:
    """Tables that cannot be told apart by order: one, or the tables of a cycle.

    ``number`` is 1 for those that reference no others, else one more than the highest they reference: tables of one
    number can be filled in any order.
    """

    number: int
    tables: tuple[Table, ...]
    cycle: Cycle | None = None


class FkGraph:
    """Orders the tables that hold rows; materialized and foreign ones are not among them.

    A partitioned table and its partitions are one: rows go in through the former, so whatever a partition needs, it
    needs. Heirs of plain inheritance are tables of their own, since foreign keys are not inherited.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._tables = [table for table in schema.tables if table.kind in {"r", "p"}]
        self._partitions: dict[int, list[Table]] = defaultdict(list)
        for table in self._tables:
            if table.is_partition:
                self._partitions[table.parents[0]].append(table)
        self._whole = {table.oid: self._find_whole(table) for table in self._tables}
        self._edges = self._find_edges()
        self.components = self._find_components()

    def insertion_order(self) -> tuple[Table, ...]:
        """Return the tables so that each stands after those it references; in cycles see :meth:`cycles`."""
        return tuple(
            table
            for component in self.components
            for whole in (component.cycle.insertion.order if component.cycle else component.tables)
            for table in self.family(whole)
        )

    def deletion_order(self) -> tuple[Table, ...]:
        """Return the tables so that each stands before those it references; in cycles see :meth:`cycles`."""
        return tuple(
            table
            for component in reversed(self.components)
            for whole in (component.cycle.deletion.order if component.cycle else component.tables)
            for table in reversed(self.family(whole))
        )

    def cycles(self) -> tuple[Cycle, ...]:
        """Return the circles of two tables and more, in insertion order; a self reference alone is none."""
        return tuple(part.cycle for part in self.components if part.cycle is not None)

    def reach(self, tables: Iterable[Table]) -> dict[Table, Path]:
        """Return every table that ``TRUNCATE tables CASCADE`` empties, each with the way to it, the nearest first."""
        return reach(self.schema, tables)

    def whole(self, table: Table) -> Table:
        """Return the partitioned table that a partition is part of, at the top; any other table itself."""
        return self._whole[table.oid]

    def family(self, table: Table) -> tuple[Table, ...]:
        """Return the table and all its partitions, those of partitions included."""
        found = [table]
        # The list grows while it is walked.
        for member in found:
            found += self._partitions[member.oid]
        return tuple(found)

    def references(self, table: Table) -> tuple[ForeignKey, ...]:
        """Return the foreign keys that rows of ``table`` and its partitions must satisfy, as they were written."""
        return tuple(
            key
            for (own, _), keys in self._edges.items()
            if own == self.whole(table)
            for key in keys
        )

    def self_references(self) -> tuple[ForeignKey, ...]:
        """Return the foreign keys from a table to itself: one statement may insert such rows in any order."""
        return tuple(key for (a, b), keys in self._edges.items() if a == b for key in keys)

    def is_required(self, key: ForeignKey) -> bool:
        """Whether every row must reference one: no NULL frees it."""
        return not cycles.is_nullable(key, self.schema)

    def _find_whole(self, table: Table) -> Table:
        while table.is_partition:
            table = self.schema.table_by_oid(table.parents[0])
        return table

    def _find_edges(self) -> _Edges:
        edges: _Edges = {}
        for key in self.schema.foreign_keys:
            # Derived ones lead from and to the same wholes as the one they are derived from.
            if not key.parent:
                pair = (self._whole[key.table], self._whole[key.references])
                edges.setdefault(pair, []).append(key)
        return edges

    def _find_components(self) -> tuple[Component, ...]:
        onward: dict[Table, dict[Table, None]] = {
            table: {} for table in self._tables if not table.is_partition
        }
        for own, other in self._edges:
            onward[own][other] = None
        numbers: dict[Table, int] = {}
        found: list[Component] = []
        position = {table: place for place, table in enumerate(onward)}
        for group in strongly_connected(onward):
            members = tuple(sorted(group, key=position.__getitem__))
            number = 1 + max(
                (
                    numbers[other]
                    for own in members
                    for other in onward[own]
                    if other not in members
                ),
                default=0,
            )
            numbers.update(dict.fromkeys(members, number))
            found.append(Component(number, members, self._cycle(members)))
        return tuple(sorted(found, key=lambda part: (part.number, position[part.tables[0]])))

    def _cycle(self, tables: tuple[Table, ...]) -> Cycle | None:
        if len(tables) == 1:
            return None
        members = set(tables)
        edges = {
            pair: keys
            for pair, keys in self._edges.items()
            if pair[0] != pair[1] and members.issuperset(pair)
        }
        backward = {(other, own): keys for (own, other), keys in edges.items()}
        return Cycle(
            tables=tables,
            foreign_keys=tuple(key for keys in edges.values() for key in keys),
            insertion=find_way(
                tables, edges, lambda key: cycles.may_be_inserted_first(key, self.schema)
            ),
            deletion=find_way(
                tables, backward, lambda key: cycles.may_be_deleted_last(key, self.schema)
            ),
        )
