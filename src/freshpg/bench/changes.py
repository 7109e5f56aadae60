"""Changes of several kinds that a test may make, each as statements of which the first that is possible is enough."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from freshpg.bench.work import tables_with_rows, takes_rows
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from freshpg.bench.work import Work
    from freshpg.postgres.schema.model import Column, Schema, Table

MOST_TRIED = 12
"""Statements of one kind: rows that others refer to cannot be deleted, a column may have a check."""

NAME = "freshpg_bench"

_ANOTHER_VALUE = {
    "text": "{0} || 'x'",
    "character varying": "{0} || 'x'",
    "integer": "{0} + 1",
    "bigint": "{0} + 1",
    "smallint": "{0} + 1",
    "numeric": "{0} + 1",
    "boolean": "NOT {0}",
    "date": "{0} + 1",
    "timestamp without time zone": "{0} + interval '1 day'",
    "timestamp with time zone": "{0} + interval '1 day'",
}
"""How to change a value of a type into another one of it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of change: ``why_not`` where this database offers nothing to do it to."""

    kind: str
    statements: tuple[str, ...]
    why_not: str = ""


def changes(
    connection: psycopg.Connection[Any], schema: Schema, work: Work, database: str
) -> list[Change]:
    """Return what can be tried on this schema, what matters most first."""
    tables = [table for table in schema.tables if takes_rows(table)]
    seeded = list(islice(tables_with_rows(connection, schema), MOST_TRIED))
    leaves_first = seeded[::-1]
    some = tables[:1]
    return [
        _kind("a row inserted", [work.statement] if work.writes else [], "no table takes a row"),
        _kind("a row updated", _updates(seeded), "no table has a row that can be changed plainly"),
        _kind("a row deleted", map(_deletion, leaves_first), "no table has a row"),
        _kind(
            "a table truncated",
            [f"TRUNCATE {table.sql} CASCADE" for table in leaves_first],
            "no table has a row",
        ),
        _kind(
            "a sequence moved",
            [_nextval(found.schema, found.name) for found in schema.sequences],
            "there is no sequence",
        ),
        _kind(
            "a column added",
            [f"ALTER TABLE {table.sql} ADD COLUMN {NAME} int" for table in some],
            "there is no table",
        ),
        _kind(
            "a comment written",
            [f"COMMENT ON TABLE {table.sql} IS '{NAME}'" for table in some],
            "there is no table",
        ),
        _kind(
            "a privilege granted",
            [f"GRANT TRIGGER ON {table.sql} TO PUBLIC" for table in some],
            "there is no table",
        ),
        _kind("a table created", [f"CREATE TABLE {NAME} (id int PRIMARY KEY)"]),
        _kind(
            "a function created",
            [f"CREATE FUNCTION {NAME}() RETURNS int LANGUAGE sql RETURN 1"],
        ),
        _kind("a large object made", ["SELECT lo_from_bytea(0, 'bench')"]),
        _kind(
            "the database's settings", [f"ALTER DATABASE {ident(database)} SET work_mem = '5MB'"]
        ),
    ]


def _kind(kind: str, statements: Any, why_not: str = "") -> Change:
    found = tuple(islice(statements, MOST_TRIED))
    return Change(kind, found, "" if found else why_not)


def _nextval(schema: str, name: str) -> str:
    return f"SELECT nextval({literal(f'{ident(schema)}.{ident(name)}')})"


def _deletion(table: Table) -> str:
    return f"DELETE FROM ONLY {table.sql} WHERE ctid = (SELECT min(ctid) FROM ONLY {table.sql})"


def _updates(tables: list[Table]) -> Iterator[str]:
    for table in tables:
        for column in table.columns:
            how = _ANOTHER_VALUE.get(column.type.partition("(")[0])
            if how is not None and not _is_key(table, column):
                name = ident(column.name)
                yield (
                    f"UPDATE ONLY {table.sql} SET {name} = {how.format(name)}"
                    f" WHERE ctid = (SELECT min(ctid) FROM ONLY {table.sql} WHERE {name} IS NOT NULL)"
                )


def _is_key(table: Table, column: Column) -> bool:
    return column.name in table.primary_key
