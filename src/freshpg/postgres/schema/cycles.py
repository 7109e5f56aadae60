"""Tables that reference each other in a circle: in which order their rows go in and out, and what must give way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.schema.components import strongly_connected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from freshpg.postgres.schema.model import ForeignKey, Schema, Table

    Edges = Mapping[tuple[Table, Table], Collection[ForeignKey]]


@dataclass(frozen=True, slots=True)
class Way:
    """An order for the tables of a cycle.

    ``postponed`` are the foreign keys that the order breaks for a while: deferred to the commit, or NULL first (last,
    when deleting). ``stuck`` are those of tables for which no order exists: their rows go in, or out, in one statement
    (``WITH … INSERT``, ``WITH … DELETE``, ``TRUNCATE``).
    """

    order: tuple[Table, ...]
    postponed: tuple[ForeignKey, ...] = ()
    stuck: tuple[ForeignKey, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether one table after the other can be filled, or emptied."""
        return not self.stuck


@dataclass(frozen=True, slots=True)
class Cycle:
    """Tables of which each references each other, over others if need be; a partitioned one stands for its partitions."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...]
    insertion: Way
    deletion: Way


def is_nullable(key: ForeignKey, schema: Schema) -> bool:
    """Whether a row may reference nothing: some column may be NULL, under MATCH FULL all of them.

    https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-PARMS-REFERENCES
    """
    columns = schema.table_by_oid(key.table)
    free = [
        not column.not_null and not column.generated for column in map(columns.column, key.columns)
    ]
    return all(free) if key.match_full else any(free)


def may_be_inserted_first(key: ForeignKey, schema: Schema) -> bool:
    """Whether rows of its table may go in before those they reference."""
    return key.deferrable or is_nullable(key, schema)


def may_be_deleted_last(key: ForeignKey, schema: Schema) -> bool:
    """Whether rows of its table may go out after those they reference; only NO ACTION waits for the commit.

    https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-PARMS-DEFERRABLE
    """
    waits = key.deferrable and key.on_delete == "no action"
    return waits or key.on_delete == "cascade" or is_nullable(key, schema)


def find_way(
    tables: Collection[Table],
    edges: Edges,
    may_give_way: Callable[[ForeignKey], bool],
) -> Way:
    """Return an order of ``tables`` in which each stands after those its edges lead to, as far as there is one.

    Args:
        tables: What to put in order; where several orders are right, earlier ones stay earlier.
        edges: From a table to one that should stand before it, with the foreign keys that say so.
        may_give_way: Whether a foreign key can wait.
    """
    firm = {pair: keys for pair, keys in edges.items() if not all(map(may_give_way, keys))}
    groups = strongly_connected(_onward(tables, firm))
    group_of = {table: number for number, group in enumerate(groups) for table in group}
    together = {(a, b) for a, b in firm if group_of[a] == group_of[b]}
    order = _arrange(tables, group_of, edges, firm)
    place = {table: number for number, table in enumerate(order)}
    broken = [(a, b) for a, b in edges if place[b] > place[a] and (a, b) not in together]
    return Way(
        order=order,
        postponed=tuple(key for pair in broken for key in edges[pair]),
        stuck=tuple(
            key for pair in firm if pair in together for key in edges[pair] if not may_give_way(key)
        ),
    )


def _onward(
    tables: Iterable[Table], edges: Iterable[tuple[Table, Table]]
) -> dict[Table, list[Table]]:
    onward: dict[Table, list[Table]] = {table: [] for table in tables}
    for own, other in edges:
        onward[own].append(other)
    return onward


def _arrange(
    tables: Iterable[Table], group_of: Mapping[Table, int], edges: Edges, firm: Edges
) -> tuple[Table, ...]:
    """Place group after group: of those that break no firm edge, the one that breaks the fewest others."""
    groups: dict[int, list[Table]] = {}
    for table in tables:
        groups.setdefault(group_of[table], []).append(table)
    # How many edges lead from each group to what is not placed yet: firm ones, all.
    ahead = {group: [0, 0] for group in groups}
    behind: dict[int, list[tuple[int, int]]] = {group: [] for group in groups}
    for pair in edges:
        own, other = map(group_of.__getitem__, pair)
        if own != other:
            is_firm = int(pair in firm)
            behind[other].append((own, is_firm))
            ahead[own][0] += is_firm
            ahead[own][1] += 1
    placed: list[Table] = []
    while ahead:
        best = min(ahead, key=ahead.__getitem__)
        placed += groups[best]
        del ahead[best]
        for own, is_firm in behind[best]:
            if own in ahead:
                ahead[own][0] -= is_firm
                ahead[own][1] -= 1
    return tuple(placed)
