"""From a server's own list of its catalogs to the queries that read them all. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freshpg.isolation.audit.deep.rules import OID, RULES, SKIPPED, Rule
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RULE: Final = Rule()

FIRST_NORMAL_OID: Final = 16384
"""Objects below it came with the server: FirstNormalObjectId in PostgreSQL's access/transam.h."""

BUILT_IN: Final = "built-in objects"

CTE: Final = """
hidden_schema AS (
    SELECT oid FROM pg_catalog.pg_namespace
     WHERE nspname = 'pg_toast' OR nspname ~ '^pg_(toast_)?temp_'),
hidden_relation AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relnamespace IN (SELECT oid FROM hidden_schema))
"""
"""Where TOAST tables and other sessions' temporary objects lie: the first are said with their table, the second are
named by the number of a backend and go with it, while their empty schemas stay for good."""

COLUMNS: Final = """
WITH reference AS MATERIALIZED (
    SELECT k.fktable, k.fkcols[pg_catalog.cardinality(k.fkcols)] AS name,
           CASE WHEN pg_catalog.cardinality(k.fkcols) = 1 THEN k.pktable::regclass::text ELSE 'columns' END AS target
      FROM pg_catalog.pg_get_catalog_foreign_keys() k)
SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, NULL), r.target,
       pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN reference r ON r.fktable = c.oid AND r.name = a.attname
 WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND c.oid < 16384
 ORDER BY c.relname, a.attnum
"""
"""Every column of every catalog, what it refers to, and whether we may read it."""

_BY_CAST: Final = {
    "pg_class": "regclass",
    "pg_type": "regtype",
    "pg_proc": "regprocedure",
    "pg_operator": "regoperator",
    "pg_authid": "regrole",
    "pg_namespace": "regnamespace",
    "pg_collation": "regcollation",
    "pg_ts_config": "regconfig",
    "pg_ts_dict": "regdictionary",
}

NUMBERS: Final = frozenset({"oid", "oid[]", "oidvector", "regproc", "xid", "pg_node_tree"})
"""Types whose text is a number that differs between equal objects, or is full of them."""

_WITHOUT_HASH: Final = frozenset({"pg_node_tree", "int2vector", "anyarray"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a catalog; ``target`` is the catalog it refers to, ``"columns"`` for column numbers."""

    catalog: str
    name: str
    type: str
    target: str | None
    readable: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One catalog's part of the great query, and what its values are called."""

    catalog: str
    fields: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class Readings:
    """How this role reads the catalogs of this server, and what it may not read."""

    readings: tuple[Reading, ...]
    unread: tuple[str, ...]


def digest(expression: str) -> str:
    """Return SQL of a 64-bit hash of any value, NULL for NULL."""
    return f'pg_catalog.hashtextextended(({expression})::text COLLATE "C", 0)'


def readings(columns: Iterable[Column], *, shared: bool) -> Readings:
    """Return how each catalog is read; those the whole server has in common only when ``shared``."""
    found: list[Reading] = []
    unread: list[str] = []
    for catalog, its in _by_catalog(columns).items():
        rule = RULES.get(catalog, _RULE)
        if catalog in SKIPPED or (rule.shared and not shared):
            continue
        readable = [column for column in its if column.readable]
        if not readable:
            unread.append(catalog)
            continue
        unread += (f"{catalog}.{column.name}" for column in its if not column.readable)
        found += (_of_users(catalog, rule, readable), _of_the_server(catalog, rule, readable))
    return Readings(tuple(found), tuple(unread))


def untranslated(columns: Iterable[Column]) -> list[str]:
    """Return the columns that would be compared by numbers which differ between equal objects; there must be none."""
    return [
        f"{column.catalog}.{column.name}"
        for column in columns
        if column.catalog not in SKIPPED
        and column.name in _compared(RULES.get(column.catalog, _RULE), [column])
        and (column.target == "columns" or (column.type in NUMBERS and column.target is None))
    ]


def _by_catalog(columns: Iterable[Column]) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = {}
    for column in columns:
        found.setdefault(column.catalog, []).append(column)
    return found


def _compared(rule: Rule, columns: Iterable[Column]) -> list[str]:
    left_out = {**OID, **rule.volatile}.keys() | rule.covered
    return [column.name for column in columns if column.name not in left_out]


def _of_users(catalog: str, rule: Rule, columns: list[Column]) -> Reading:
    by_name = {column.name: column for column in columns}
    expressions = {name: _text(by_name[name]) for name in _compared(rule, columns)} | dict(
        rule.extra
    )
    identity = f"pg_catalog.pg_identify_object({literal(catalog)}::regclass, {rule.own}, 0)"
    source = f"{ident(catalog)} c"
    if not rule.name:
        source += f" CROSS JOIN LATERAL {identity} o"
    conditions = [f"{rule.own} >= {FIRST_NORMAL_OID}", *_visible(columns)]
    if rule.where:
        conditions.append(rule.where)
    sql = (
        f"SELECT {literal(catalog)}, {literal(rule.kind) if rule.kind else 'o.type'},"
        f" {rule.name or 'o.identity'}, {rule.part_of or 'NULL'}::text,"
        f" ARRAY[{', '.join(digest(expression) for expression in expressions.values())}]::int8[]"
        f" FROM pg_catalog.{source} WHERE {' AND '.join(f'({one})' for one in conditions)}"
    )
    return Reading(catalog, tuple(expressions), sql)


def _of_the_server(catalog: str, rule: Rule, columns: list[Column]) -> Reading:
    """Read built-in rows as one lump, with their numbers, which nothing changes."""
    values = (
        f"c.{ident(column.name)}" + ("::text" if column.type in _WITHOUT_HASH else "")
        for column in columns
        if column.name not in rule.volatile
    )
    # Four times as fast as hashing its text, which would look up the names of all functions.
    row = f"pg_catalog.hash_record_extended(ROW({', '.join(values)}), 0)"
    sql = (
        f"SELECT {literal(_lump(catalog))}, {literal(BUILT_IN)}, {literal(catalog)}, NULL::text,"
        f" ARRAY[pg_catalog.count(*), {total(row)}]::int8[]"
        f" FROM pg_catalog.{ident(catalog)} c WHERE {rule.own} < {FIRST_NORMAL_OID}"
    )
    return Reading(_lump(catalog), ("rows", "content"), sql)


def total(hashes: str) -> str:
    """Return SQL that adds hashes up: the same in any order, different for one row more of the same."""
    return f"coalesce(pg_catalog.mod(pg_catalog.sum({hashes}), 9223372036854775807), 0)::int8"


def _lump(catalog: str) -> str:
    return f"{catalog} (built-in)"


def _visible(columns: Iterable[Column]) -> Iterator[str]:
    for column in columns:
        if column.type != "oid" or column.name == "reltoastrelid":
            continue
        if column.target == "pg_class":
            yield f"c.{ident(column.name)} NOT IN (SELECT oid FROM hidden_relation)"
        elif column.target == "pg_namespace":
            yield f"c.{ident(column.name)} NOT IN (SELECT oid FROM hidden_schema)"
        elif (column.catalog, column.name) == ("pg_namespace", "oid"):
            yield "c.oid NOT IN (SELECT oid FROM hidden_schema)"


def _text(column: Column) -> str:
    value = f"c.{ident(column.name)}"
    target = column.target
    if target is None or target == "columns":
        return value
    cast = _BY_CAST.get(target)
    if column.type in {"oid[]", "oidvector"}:
        return f"{value}::oid[]::{cast or 'text'}[]"
    if cast:
        return f"{value}::oid::{cast}"
    return (
        f"CASE WHEN {value} <> 0 THEN"
        f" (pg_catalog.pg_identify_object({literal(target)}::regclass, {value}, 0)).identity END"
    )
