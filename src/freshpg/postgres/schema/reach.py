"""What a TRUNCATE … CASCADE empties, and why. Pure.

The rules are those of ``heap_truncate_find_FKs`` in PostgreSQL's ``src/backend/catalog/heap.c``: named tables bring
their partitions and heirs, then every table with a foreign key to one that is reached; a key that was derived for a
partition counts as one to the whole partitioned table.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.postgres.schema.model import ForeignKey, Schema, Table


@dataclass(frozen=True, slots=True)
class Hop:
    """One step from a table to the next that is emptied with it; ``foreign_key`` is of the latter."""

    source: Table
    target: Table
    kind: Literal["foreign key", "partition", "inherits"]
    foreign_key: ForeignKey | None = None

    def __str__(self) -> str:
        if self.foreign_key is None:
            word = "is a partition of" if self.kind == "partition" else "inherits from"
            return f"{self.target.qualified} {word} {self.source.qualified}"
        columns = ", ".join(self.foreign_key.columns)
        return f"{self.target.qualified}({columns}) references {self.source.qualified}"


@dataclass(frozen=True, slots=True)
class Path:
    """The shortest chain from a table that was asked for to one that is emptied with it; no hops for the former."""

    start: Table
    hops: tuple[Hop, ...] = ()

    def __str__(self) -> str:
        if not self.hops:
            return f"{self.start.qualified} was asked for"
        return ", ".join(str(hop) for hop in reversed(self.hops))


def reach(schema: Schema, tables: Iterable[Table]) -> dict[Table, Path]:
    """Return every table that ``TRUNCATE tables CASCADE`` empties, each with the way to it, the nearest first."""
    return _Search(schema).run(tables)


class _Search:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._heirs: dict[int, list[Table]] = defaultdict(list)
        for table in (*schema.tables, *schema.foreign_tables):
            for parent in table.parents:
                self._heirs[parent].append(table)
        self._keys = {key.oid: key for key in schema.foreign_keys}
        self._keys_to: dict[int, list[ForeignKey]] = defaultdict(list)
        for key in schema.foreign_keys:
            self._keys_to[key.references].append(key)

    def run(self, tables: Iterable[Table]) -> dict[Table, Path]:
        paths = {table: Path(table) for table in tables}
        self._add_heirs(paths)
        waiting = deque(paths)
        # Partitioned tables whose keys count although only a partition of theirs is emptied.
        counted: set[int] = set()
        while waiting:
            source = waiting.popleft()
            for key in self._keys_at(source, counted):
                target = self._schema.table_by_oid(key.table)
                if target not in paths:
                    hop = Hop(source, target, "foreign key", key)
                    paths[target] = Path(paths[source].start, (*paths[source].hops, hop))
                    waiting.append(target)
        return paths

    def _add_heirs(self, paths: dict[Table, Path]) -> None:
        waiting = deque(paths)
        while waiting:
            source = waiting.popleft()
            for heir in self._heirs[source.oid]:
                if heir not in paths:
                    hop = Hop(source, heir, "partition" if heir.is_partition else "inherits")
                    paths[heir] = Path(paths[source].start, (*paths[source].hops, hop))
                    waiting.append(heir)

    def _keys_at(self, source: Table, counted: set[int]) -> list[ForeignKey]:
        """Return the keys to ``source``, and those to the partitioned tables that a key to it was derived from."""
        keys = list(self._keys_to[source.oid])
        # The list grows while it is walked.
        for key in keys:
            whole = self._written(key).references
            if whole != key.references and whole not in counted:
                counted.add(whole)
                keys += self._keys_to[whole]
        return keys

    def _written(self, key: ForeignKey) -> ForeignKey:
        while key.parent in self._keys:
            key = self._keys[key.parent]
        return key
