"""What must be known of a table to write its rows: columns with their types, keys and foreign keys.

Read table by table, so that the cost does not grow with the schema, and anew for every test, so that what a test
changed is seen.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DataInvalid
from freshpg.postgres.quoting import ident, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def sql_name(name: str) -> str:
    """Return a name quoted for a statement with parameters, in which a percent sign would begin one."""
    return ident(name).replace("%", "%%")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as its values see it.

    ``cast`` is the type to cast a value to; ``base`` the type below domains and inside arrays; ``kind`` of that type as
    in ``pg_type.typtype``: ``b`` base, ``e`` enum, ``r`` range, ``m`` multirange, ``c`` composite. ``length`` is that of
    ``varchar(n)``, ``char(n)`` and ``bit(n)``. ``filled`` says that the server makes the value: identity, ``serial``,
    generated.
    """

    name: str
    cast: str
    base: str
    kind: str = "b"
    is_array: bool = False
    length: int | None = None
    labels: tuple[str, ...] = ()
    required: bool = False
    filled: bool = False
    always: bool = False
    unique: bool = False

    @property
    def sql(self) -> str:
        """The name for a statement."""
        return sql_name(self.name)

    @property
    def read(self) -> str:
        """The expression that reads it: psycopg does not know arrays of somebody's enum."""
        return f"{self.sql}::pg_catalog.text[]" if self.is_array and self.kind == "e" else self.sql


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key: columns here, and those they refer to in another table (oid)."""

    name: str
    columns: tuple[str, ...]
    references: int
    referenced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A table that rows go into."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique_keys: tuple[frozenset[str], ...] = ()

    @property
    def qualified(self) -> str:
        """Schema and name as a person writes them."""
        return f"{readable(self.schema)}.{readable(self.name)}"

    @property
    def shown(self) -> str:
        """The name for messages: without the schema everybody means."""
        return readable(self.name) if self.schema == "public" else self.qualified

    @property
    def sql(self) -> str:
        """Schema and name for a statement."""
        return f"{sql_name(self.schema)}.{sql_name(self.name)}"

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            DataInvalid: There is none of this name; names the nearest.
        """
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        raise DataInvalid(
            "a column was named",
            on=f"{self.shown}.{name}",
            seen=f"the table has: {', '.join(names)}",
            todo=(
                *((f"perhaps {near[0]!r} was meant",) if near else ()),
                "add the column to the migrations",
            ),
            table=self.qualified,
            column=name,
        )

    def require_columns(self, names: Iterable[str]) -> tuple[Column, ...]:
        """Return the columns of these names, each once, in the order named.

        Raises:
            DataInvalid: One does not exist.
        """
        return tuple(self.column(name) for name in dict.fromkeys(names))

    def is_unique(self, columns: Iterable[str]) -> bool:
        """Whether no two rows can agree in all of these columns."""
        wanted = frozenset(columns)
        return any(key <= wanted for key in self.unique_keys)

    def key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values of the primary key."""
        return tuple(row[name] for name in self.primary_key)
