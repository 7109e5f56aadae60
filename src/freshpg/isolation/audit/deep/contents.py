"""Hashes of what tables, sequences and large objects hold, made in the server. Pure: SQL only.

A row is hashed as the text its record's output function gives: every type has one, also those without equality or
order (json, xml, point), and it tells NaN, trailing zeros and NULL apart. The function is called by name, since a
database may define casts of its own. Hashes are added up, so that order does not count and duplicates do, and nothing
is kept per row. Two contents with the same sum of 64-bit hashes and the same number of rows do not happen by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from freshpg.isolation.audit.deep.catalogs import CTE, FIRST_NORMAL_OID, digest, total
from freshpg.postgres.quoting import ident

HOLDERS: Final = f"""
WITH {CTE}
SELECT c.oid::regclass::text, c.relkind::text,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AND NOT pg_catalog.row_security_active(c.oid),
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated <> 'v')
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        HAVING pg_catalog.bool_or(a.attgenerated = 'v'))
  FROM pg_catalog.pg_class c
 WHERE c.oid >= {FIRST_NORMAL_OID} AND c.oid NOT IN (SELECT oid FROM hidden_relation)
   AND (c.relkind IN ('r', 'S') OR (c.relkind = 'm' AND c.relispopulated))
 ORDER BY c.oid
"""
"""Everything that holds rows itself or a sequence's value. Foreign tables do not: their rows are elsewhere."""

ROW_FIELDS: Final = ("rows", "content")
SEQUENCE_FIELDS: Final = ("last_value", "is_called")
LARGE_OBJECT_FIELDS: Final = ("pages", "content")


@dataclass(frozen=True, slots=True)
class Holder:
    """A table or sequence; ``name`` is quoted as SQL wants it.

    ``stored`` names the columns when some are virtual: those follow from the others, and computing them may fail.
    """

    name: str
    kind: str
    readable: bool
    stored: list[str] | None

    @property
    def is_sequence(self) -> bool:
        """Whether it is a sequence."""
        return self.kind == "S"

    def query(self, number: int) -> str:
        """Return SQL of ``number`` and two values that say what it holds."""
        if self.is_sequence:
            # Not log_cnt: how many values are logged ahead is the server's affair and no query's result.
            return f"SELECT {number}, last_value, is_called::int::int8 FROM {self.name}"
        # "x.*" is the row whatever its columns are called; "x" could be one of them.
        row = "x.*"
        if self.stored is not None:
            row = f"ROW({', '.join(f'x.{ident(name)}' for name in self.stored)})"
        text = f"pg_catalog.textin(pg_catalog.record_out({row}))"
        return (
            f"SELECT {number}, pg_catalog.count(*), {total(digest(text))} FROM ONLY {self.name} x"
        )


LARGE_OBJECTS: Final = f"""
SELECT c.loid::text, pg_catalog.count(*), {total(digest("ROW(c.pageno, c.data)"))}
  FROM pg_catalog.pg_largeobject c GROUP BY c.loid
"""

_MAY_READ = """
    (pg_catalog.pg_has_role(c.lomowner, 'USAGE')
     OR EXISTS (SELECT FROM pg_catalog.aclexplode(c.lomacl) a WHERE a.privilege_type = 'SELECT'
                   AND CASE WHEN a.grantee = 0 THEN true ELSE pg_catalog.pg_has_role(a.grantee, 'USAGE') END))
"""

READABLE_LARGE_OBJECTS: Final = f"""
SELECT c.oid::text, 0::int8, {digest("pg_catalog.md5(pg_catalog.lo_get(c.oid))")}
  FROM pg_catalog.pg_largeobject_metadata c WHERE {_MAY_READ}
"""
"""For a role that may not read ``pg_largeobject``: those it may read one by one."""

HIDES_LARGE_OBJECTS: Final = (
    f"SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata c WHERE NOT {_MAY_READ})"
)
"""Whether such a role is left in the dark about any."""
