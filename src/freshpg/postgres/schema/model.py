"""Tables, foreign keys and sequences of one database, as data. Pure.

Everything in here is a snapshot: what was created since :func:`freshpg.postgres.schema.reader.read_schema` ran is
not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from freshpg.postgres.quoting import ident, readable
from freshpg.postgres.schema import naming

TableKind = Literal["r", "p", "m", "f"]
Generated = Literal["", "stored", "virtual"]
OnDelete = Literal["no action", "restrict", "cascade", "set null", "set default"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` reads as in DDL, ``identity`` is ``a`` for ALWAYS and ``d`` for BY DEFAULT."""

    name: str
    type: str
    not_null: bool
    generated: Generated = ""
    identity: Literal["", "a", "d"] = ""
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: ordinary ``r``, partitioned ``p``, materialized view ``m``, foreign ``f``.

    ``filenodes`` are all files that change when its rows do: its own first, its indexes, its TOAST table and that
    one's index; empty where nothing is stored (``p`` and ``f``). ``persistence`` is ``p`` for permanent and ``u`` for
    unlogged.
    """

    oid: int
    schema: str
    name: str
    kind: TableKind = "r"
    filenode: int = 0
    filenodes: tuple[int, ...] = ()
    persistence: Literal["p", "u"] = "p"
    parents: tuple[int, ...] = ()
    is_partition: bool = False
    primary_key: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    extension: bool = False

    def __hash__(self) -> int:
        # Tables are keys everywhere; the oid tells two of them apart without reading all their columns.
        return self.oid

    @property
    def qualified(self) -> str:
        """Schema and name as a person writes them: ``public.cart``, ``public."Cart"``."""
        return f"{readable(self.schema)}.{readable(self.name)}"

    @property
    def sql(self) -> str:
        """Schema and name for a statement, quoted whatever they are."""
        return f"{ident(self.schema)}.{ident(self.name)}"

    def column(self, name: str) -> Column:
        """Return a column by its exact name; :class:`KeyError` when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key of ``table`` (oid) that points to ``references`` (oid).

    ``parent`` is the oid of the key it was derived from, 0 for one that somebody wrote: PostgreSQL gives every partition
    on either side a key of its own.
    """

    oid: int
    name: str
    table: int
    columns: tuple[str, ...]
    references: int
    referenced_columns: tuple[str, ...]
    deferrable: bool = False
    initially_deferred: bool = False
    on_delete: OnDelete = "no action"
    match_full: bool = False
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence: free-standing, owned by a column (``serial``), or an identity column's own."""

    oid: int
    schema: str
    name: str
    filenode: int
    owner_table: int | None = None
    owner_column: str = ""
    identity: bool = False
    cache: int = 1
    start: int = 1
    increment: int = 1
    min: int = 1
    max: int = 2**63 - 1
    cycle: bool = False
    persistence: Literal["p", "u"] = "p"
    data_type: str = "bigint"
    readable: bool = True
    extension: bool = False

    def __hash__(self) -> int:
        return self.oid

    @property
    def qualified(self) -> str:
        """Schema and name as a person writes them."""
        return f"{readable(self.schema)}.{readable(self.name)}"

    @property
    def sql(self) -> str:
        """Schema and name for a statement, quoted whatever they are."""
        return f"{ident(self.schema)}.{ident(self.name)}"


@dataclass(frozen=True, slots=True)
class Schema:
    """All of them, each kind by schema and name.

    ``search_path`` are the schemas in which the database looks for a name without one. ``foreign_tables`` keep their
    rows elsewhere: they are listed apart, so that nobody empties them by accident.
    """

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    foreign_tables: tuple[Table, ...] = ()
    search_path: tuple[str, ...] = ("public",)
    _by_oid: dict[int, Table | Sequence] = field(init=False, repr=False, compare=False)
    _by_filenode: dict[int, Table | Sequence] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, tuple[Table, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_oid: dict[int, Table | Sequence] = {}
        by_filenode: dict[int, Table | Sequence] = {}
        by_name: dict[str, tuple[Table, ...]] = {}
        for table in (*self.tables, *self.foreign_tables):
            by_oid[table.oid] = table
            by_filenode.update(dict.fromkeys(table.filenodes, table))
            by_name[table.name] = (*by_name.get(table.name, ()), table)
        for sequence in self.sequences:
            by_oid[sequence.oid] = sequence
            by_filenode[sequence.filenode] = sequence
        object.__setattr__(self, "_by_oid", by_oid)
        object.__setattr__(self, "_by_filenode", by_filenode)
        object.__setattr__(self, "_by_name", by_name)

    def by_oid(self, oid: int) -> Table | Sequence | None:
        """Return the table or sequence with this oid, or ``None``."""
        return self._by_oid.get(oid)

    def by_filenode(self, filenode: int) -> Table | Sequence | None:
        """Return the table or sequence whose content lies in this file, be it an index or TOAST; or ``None``."""
        return self._by_filenode.get(filenode)

    def table_by_oid(self, oid: int) -> Table:
        """Return the table with this oid; :class:`KeyError` when there is none."""
        found = self._by_oid[oid]
        if not isinstance(found, Table):
            raise KeyError(oid)
        return found

    def describe(self, key: ForeignKey) -> str:
        """Return a foreign key as a person reads it: ``public.city(country_id) → public.country(id)``."""
        own, other = self.table_by_oid(key.table), self.table_by_oid(key.references)
        columns, referenced = (
            ", ".join(map(readable, names)) for names in (key.columns, key.referenced_columns)
        )
        return f"{own.qualified}({columns}) → {other.qualified}({referenced})"

    def table(self, name: str) -> Table:
        """Return the table that ``name`` means in SQL: ``cart``, ``public.cart``, ``"Cart"``.

        A name without a schema is looked for along the search path, then everywhere.

        Raises:
            TableUnknown: There is none, or several that the search path does not tell apart; names the nearest.
        """
        return naming.find(name, self._by_name, self.search_path)
