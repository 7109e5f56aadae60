"""The questions an audit asks, as SQL. Pure.

A row is news when its ``xmin`` is not older than the transaction of the last proof. A table is as its template has it
when no visible row is news and their number is the template's: an update makes a new row version, and whoever deletes
and inserts leaves one. ``age`` compares in the order in which transaction numbers wrap around.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.isolation.audit.facts import SequenceFacts, TableFacts

NEWS = "pg_catalog.age(xmin) <= pg_catalog.age($1::xid)"
"""Of a row, with the transaction of the last proof as the one parameter."""

NO_ROWS = "SELECT 0, 0, 0 WHERE false"


def rows_of(table: TableFacts) -> str:
    """Return a query for: visible rows, and those that are news. One that is empty in the template has only news."""
    if table.rows == 0:
        return f"SELECT {table.oid}, count(*), count(*) FROM ONLY {table.sql}"
    return f"SELECT {table.oid}, count(*), count(*) FILTER (WHERE {NEWS}) FROM ONLY {table.sql}"


def rows_of_all(tables: Iterable[TableFacts]) -> str:
    """Return one query for many tables, which names those with rows that the template has empty, and all others.

    Empty ones are asked for their first row only: that takes a hundredth of the time of counting.
    """
    parts = [
        f"SELECT {table.oid}, 1, 1 WHERE EXISTS (SELECT FROM ONLY {table.sql})"
        if table.rows == 0
        else rows_of(table)
        for table in tables
    ]
    return " UNION ALL ".join(parts)


def state_of(sequences: Iterable[SequenceFacts]) -> str:
    """Return a query for the last value of each sequence, and whether it was given."""
    parts = [f"SELECT {found.oid}, last_value, is_called FROM {found.sql}" for found in sequences]
    return " UNION ALL ".join(parts) or "SELECT 0, 0, false WHERE false"


ROLE_SETTINGS = f"""
SELECT count(*) FROM pg_catalog.pg_db_role_setting s
 WHERE s.setdatabase = 0 AND {NEWS.replace("xmin", "s.xmin")} AND s.setrole =
   (SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
"""
"""Whether the tests' role has settings that are news."""


def content_of(catalog: str) -> str:
    """Return a catalog as it stands after FROM, without rows that stay behind when temporary tables have gone."""
    leftovers = " WHERE nspname !~ '^pg_(toast_)?temp_'" if catalog == "pg_namespace" else ""
    return f"pg_catalog.{ident(catalog)}{leftovers}"


def rows_of_catalogs(names: Iterable[str]) -> str:
    """Return a query for: rows of each catalog, and those that are news."""
    parts = [
        f"SELECT {literal(name)}, count(*), count(*) FILTER (WHERE {NEWS}) FROM {content_of(name)}"
        for name in sorted(names)
    ]
    return " UNION ALL ".join(parts) or "SELECT '', 0, 0 WHERE false"
