"""Reads the schema of the database a control connection is in: four catalog queries, however many tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from freshpg.postgres.databases import FIRST_OID
from freshpg.postgres.schema.model import Column, ForeignKey, Schema, Sequence, Table

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin

# What users made, wherever they put it: initdb's own objects have smaller oids, temporary ones belong to a session and
# TOAST tables to their tables.
_USERS = f"c.oid >= {FIRST_OID} AND c.relpersistence <> 't' AND n.nspname <> 'pg_toast'"

_TABLES = f"""
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relfilenode,
       ARRAY(SELECT f.relfilenode
               FROM (SELECT 1, i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
                     UNION ALL SELECT 2, c.reltoastrelid WHERE c.reltoastrelid <> 0
                     UNION ALL SELECT 3, i.indexrelid FROM pg_catalog.pg_index i
                                WHERE i.indrelid = c.reltoastrelid AND c.reltoastrelid <> 0) AS part(place, oid)
               JOIN pg_catalog.pg_class f ON f.oid = part.oid
              WHERE f.relfilenode <> 0 ORDER BY part.place, part.oid),
       c.relpersistence,
       ARRAY(SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid ORDER BY h.inhseqno),
       c.relispartition,
       ARRAY(SELECT a.attname
               FROM pg_catalog.pg_constraint k
               CROSS JOIN LATERAL pg_catalog.unnest(k.conkey) WITH ORDINALITY AS key(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.attnum
              WHERE k.conrelid = c.oid AND k.contype = 'p' ORDER BY key.place),
       EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                  AND d.objsubid = 0 AND d.deptype = 'e')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f') AND {_USERS}
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

# Of a domain, NOT NULL is the type's.
_COLUMNS = f"""
SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attnotnull OR t.typnotnull, a.attgenerated, a.attidentity, a.atthasdef
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'f') AND {_USERS}
 ORDER BY a.attrelid, a.attnum
"""

_FOREIGN_KEYS = """
SELECT k.oid, k.conname, k.conrelid, own.names, k.confrelid, other.names,
       k.condeferrable, k.condeferred, k.confdeltype, k.confmatchtype = 'f', k.conparentid
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relpersistence <> 't'
  CROSS JOIN LATERAL (
       SELECT pg_catalog.array_agg(a.attname ORDER BY key.place)
         FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS key(attnum, place)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.attnum) AS own(names)
  CROSS JOIN LATERAL (
       SELECT pg_catalog.array_agg(a.attname ORDER BY key.place)
         FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS key(attnum, place)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = key.attnum) AS other(names)
 WHERE k.contype = 'f'
 ORDER BY k.conrelid, k.conname COLLATE "C", k.oid
"""

_SEQUENCES = f"""
SELECT c.oid, n.nspname, c.relname, c.relfilenode, d.refobjid, COALESCE(a.attname, ''), d.deptype IS NOT DISTINCT FROM 'i',
       s.seqcache, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle, c.relpersistence,
       pg_catalog.format_type(s.seqtypid, NULL),
       pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       EXISTS (SELECT FROM pg_catalog.pg_depend e
                WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid
                  AND e.objsubid = 0 AND e.deptype = 'e')
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
        AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE {_USERS}
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

_SEARCH_PATH = "SELECT pg_catalog.current_schemas(false)"

_GENERATED: dict[str, Any] = {"": "", "s": "stored", "v": "virtual"}
_ON_DELETE: dict[str, Any] = {
    "a": "no action",
    "r": "restrict",
    "c": "cascade",
    "n": "set null",
    "d": "set default",
}


def read_schema(admin: Admin) -> Schema:
    """Return what users and extensions made in the database that ``admin`` is connected to; temporary objects are not.

    Each query sees a snapshot of its own: DDL of other sessions meanwhile may be in some answers and not in others.

    Raises:
        StatementFailed: The role may not read the catalogs.
    """
    columns = _read_columns(admin)
    tables = [_table(row, columns) for row in admin.rows(_TABLES)]
    known = {table.oid for table in tables}
    return Schema(
        tables=tuple(table for table in tables if table.kind != "f"),
        foreign_keys=tuple(
            key
            for key in map(_foreign_key, admin.rows(_FOREIGN_KEYS))
            if key.table in known and key.references in known
        ),
        sequences=tuple(Sequence(*row) for row in admin.rows(_SEQUENCES)),
        foreign_tables=tuple(table for table in tables if table.kind == "f"),
        search_path=tuple(admin.value(_SEARCH_PATH)),
    )


def _read_columns(admin: Admin) -> dict[int, list[Column]]:
    columns: dict[int, list[Column]] = {}
    for oid, name, type_, not_null, generated, identity, has_default in admin.rows(_COLUMNS):
        # Of thousands of columns most share their type with others.
        column = Column(
            name, sys.intern(type_), not_null, _GENERATED[generated], identity, has_default
        )
        columns.setdefault(oid, []).append(column)
    return columns


def _table(row: tuple[Any, ...], columns: dict[int, list[Column]]) -> Table:
    oid, schema, name, kind, filenode, others, persistence, parents, partition, key, extension = row
    return Table(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        filenode=filenode,
        filenodes=(filenode, *others) if filenode else tuple(others),
        persistence=persistence,
        parents=tuple(parents),
        is_partition=partition,
        primary_key=tuple(key),
        columns=tuple(columns.get(oid, ())),
        extension=extension,
    )


def _foreign_key(row: tuple[Any, ...]) -> ForeignKey:
    oid, name, table, columns, references, referenced, deferrable, deferred, on_delete, *rest = row
    match_full, parent = rest
    return ForeignKey(
        oid=oid,
        name=name,
        table=table,
        columns=tuple(columns),
        references=references,
        referenced_columns=tuple(referenced),
        deferrable=deferrable,
        initially_deferred=deferred,
        on_delete=_ON_DELETE[on_delete],
        match_full=match_full,
        parent=parent,
    )
