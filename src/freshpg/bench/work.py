"""What a test of this schema could do: a row that can be inserted, found out by trying."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.data.catalog import Catalog
from freshpg.data.channel import Channel
from freshpg.data.made_up import made_up
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.data.tables import TargetTable
    from freshpg.handle import Database
    from freshpg.postgres.schema.model import Schema, Table

TRIES = 60
"""Tables that are tried: in most schemas the first will do."""

_NUMBER = 31_000
"""Of the made-up row: fits the smallest integer type and is beyond what most seeds reach."""

READ = "SELECT 1"


@dataclass(frozen=True, slots=True)
class Work:
    """What every measured cycle does.

    Attributes:
        table: Where a row goes, as a person writes it; empty where no table would take one.
        statement: The one statement, committed where the level commits.
    """

    table: str
    statement: str

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return bool(self.table)


READING = Work("", READ)


def find_work(database: Database, schema: Schema) -> Work:
    """Return an insertion that the database takes from the role of tests; else a query."""
    channel = Channel(database)
    catalog = Catalog(channel)
    candidates = (table for table in schema.tables if takes_rows(table))
    try:
        for table in islice(candidates, TRIES):
            statement = _insertion(catalog, catalog.table(table.qualified))
            if statement is not None and _works(channel.connection, statement):
                return Work(table.qualified, statement)
    finally:
        channel.close()
    return READING


def takes_rows(table: Table) -> bool:
    """Whether rows can go into it at all, and are its own."""
    return table.kind == "r" and not table.is_partition and not table.extension


def _insertion(catalog: Catalog, table: TargetTable) -> str | None:
    """Return a statement that inserts one made-up row; None where it would need others, or a type is not known."""
    required = [column for column in table.columns if column.required]
    needed = {column.name for column in required}
    if any(needed.intersection(key.columns) for key in catalog.foreign_keys(table)):
        return None
    values = [made_up(column, _NUMBER) for column in required]
    if None in values:
        return None
    name = f"{ident(table.schema)}.{ident(table.name)}"
    if not required:
        return f"INSERT INTO {name} DEFAULT VALUES"
    columns = ", ".join(ident(column.name) for column in required)
    # Written for statements with parameters, where a percent sign is doubled.
    casts = [column.cast.replace("%%", "%") for column in required]
    given = [f"{literal(str(value))}::{cast}" for value, cast in zip(values, casts, strict=True)]
    return f"INSERT INTO {name} ({columns}) VALUES ({', '.join(given)})"


def _works(connection: psycopg.Connection[Any], statement: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(statement.encode()).rowcount == 1
    except psycopg.Error:
        return False


def tables_with_rows(connection: psycopg.Connection[Any], schema: Schema) -> Iterator[Table]:
    """Yield the tables that have rows and may be read, as they are found."""
    for table in schema.tables:
        if not takes_rows(table):
            continue
        try:
            found = connection.execute(
                f"SELECT EXISTS (SELECT FROM ONLY {table.sql})".encode()
            ).fetchone()
        except psycopg.Error:
            continue
        if found == (True,):
            yield table
