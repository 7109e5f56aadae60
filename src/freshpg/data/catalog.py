"""Reads the tables that test data goes into."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DataInvalid
from freshpg.data.tables import Column, ForeignKey, TargetTable, sql_name
from freshpg.postgres.admin import Admin
from freshpg.postgres.schema import naming
from freshpg.postgres.schema.reader import read_schema

if TYPE_CHECKING:
    from freshpg.data.channel import Channel
    from freshpg.postgres.schema.model import Schema

# A name means what it means in SQL: along the search path, else where there is only one table of that name.
_FIND = """
SELECT c.oid, n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'f') AND (%s = '' OR n.nspname = %s)
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'
 ORDER BY 4 DESC
"""

_NAME = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""

# A domain is its base type with a NOT NULL and a default of its own; an array is what its elements are.
_COLUMNS = """
SELECT a.attname, tn.nspname, t.typname, base.typname, base.typtype, element.typname, element.typtype,
       CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE down.typmod END,
       a.attnotnull OR down.not_null, a.atthasdef OR down.has_default, a.attidentity, a.attgenerated <> '',
       COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%', false),
       ARRAY(SELECT e.enumlabel FROM pg_catalog.pg_enum e
              WHERE e.enumtypid IN (base.oid, element.oid) ORDER BY e.enumsortorder),
       EXISTS (SELECT FROM pg_catalog.pg_index i
                WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey::int2[]))
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  CROSS JOIN LATERAL (
       WITH RECURSIVE down(oid, typtype, typbasetype, typmod, not_null, has_default) AS (
            SELECT t.oid, t.typtype, t.typbasetype, -1, t.typnotnull, t.typdefault IS NOT NULL
            UNION ALL
            SELECT b.oid, b.typtype, b.typbasetype, GREATEST(down.typmod, u.typtypmod),
                   down.not_null OR b.typnotnull, down.has_default OR b.typdefault IS NOT NULL
              FROM down JOIN pg_catalog.pg_type u ON u.oid = down.oid
              JOIN pg_catalog.pg_type b ON b.oid = down.typbasetype
             WHERE down.typtype = 'd')
       SELECT oid, typmod, not_null, has_default FROM down WHERE typtype <> 'd') AS down
  JOIN pg_catalog.pg_type base ON base.oid = down.oid
  LEFT JOIN pg_catalog.pg_type element ON element.oid = base.typelem AND base.typcategory = 'A'
 WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

_KEYS = """
SELECT i.indisprimary,
       ARRAY(SELECT a.attname FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS key(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
              WHERE key.place <= i.indnkeyatts ORDER BY key.place)
  FROM pg_catalog.pg_index i
 WHERE i.indrelid = %s AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
"""

# PostgreSQL gives every partition on the other side a key of its own below the one that was written.
_FOREIGN_KEYS = """
SELECT k.conname, k.confrelid,
       ARRAY(SELECT a.attname FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS key(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.attnum
              ORDER BY key.place),
       ARRAY(SELECT a.attname FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS key(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = key.attnum
              ORDER BY key.place)
  FROM pg_catalog.pg_constraint k
 WHERE k.conrelid = %s AND k.contype = 'f'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)
 ORDER BY pg_catalog.cardinality(k.conkey), k.conname
"""

_WITH_LENGTH = {"varchar": 4, "bpchar": 4, "bit": 0, "varbit": 0}
"""Types whose modifier is a length, and what PostgreSQL adds to it."""


class Catalog:
    """The tables of one database, each read when first named."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._by_name: dict[str, TargetTable] = {}
        self._by_oid: dict[int, TargetTable] = {}
        self._foreign_keys: dict[int, tuple[ForeignKey, ...]] = {}

    def table(self, name: str) -> TargetTable:
        """Return the table that ``name`` means in SQL: ``cart``, ``shop.cart``, ``"Cart"``.

        Raises:
            TableUnknown: There is none, or several; names the nearest.
        """
        if name not in self._by_name:
            schema, plain = naming.parse(name)
            found = self._channel.rows(_FIND, (plain, schema, schema))
            if not found or (len(found) > 1 and not found[0][3]):
                self._say_unknown(name)
            oid, *names, _ = found[0]
            self._by_name[name] = self._read(oid, *names)
        return self._by_name[name]

    def again(self, name: str) -> TargetTable:
        """Return the table as it is now, should the test have changed it."""
        self._by_name.clear()
        self._by_oid.clear()
        self._foreign_keys.clear()
        return self.table(name)

    def by_oid(self, oid: int) -> TargetTable:
        """Return the table with this oid."""
        if oid not in self._by_oid:
            ((schema, name),) = self._channel.rows(_NAME, (oid,))
            self._read(oid, schema, name)
        return self._by_oid[oid]

    def foreign_keys(self, table: TargetTable) -> tuple[ForeignKey, ...]:
        """Return the foreign keys of a table, those of fewest columns first."""
        if table.oid not in self._foreign_keys:
            self._foreign_keys[table.oid] = tuple(
                ForeignKey(name, tuple(columns), other, tuple(referenced))
                for name, other, columns, referenced in self._channel.rows(
                    _FOREIGN_KEYS, (table.oid,)
                )
            )
        return self._foreign_keys[table.oid]

    def names(self) -> list[str]:
        """Return the tables that test data may go into, as a person writes them."""
        return [table.qualified for table in self.schema().tables if table.kind in {"r", "p"}]

    def schema(self) -> Schema:
        """Read all tables and foreign keys there are now, through a connection of its own."""
        conninfo = self._channel.database.conninfo
        with closing(Admin.connect(conninfo, application_name="freshpg test data")) as admin:
            return read_schema(admin)

    def _read(self, oid: int, schema: str, name: str) -> TargetTable:
        if oid not in self._by_oid:
            keys = self._channel.rows(_KEYS, (oid,))
            self._by_oid[oid] = TargetTable(
                oid,
                schema,
                name,
                tuple(_column(*row) for row in self._channel.rows(_COLUMNS, (oid,))),
                next((tuple(names) for primary, names in keys if primary), ()),
                tuple(frozenset(names) for _, names in keys),
            )
        return self._by_oid[oid]

    def _say_unknown(self, name: str) -> None:
        found = self.schema().table(name)
        raise DataInvalid(
            "a table was named",
            on=found.qualified,
            seen="rows cannot be inserted there: it is a materialized view or cannot be seen through this connection",
            todo=("name the table it is made from",),
            table=found.qualified,
        )


def _column(  # noqa: PLR0917 (one row of the query)
    name: str,
    type_schema: str,
    type_name: str,
    base: str,
    kind: str,
    element: str | None,
    element_kind: str | None,
    modifier: int | None,
    not_null: bool,
    has_default: bool,
    identity: str,
    generated: bool,
    serial: bool,
    labels: list[str],
    unique: bool,
) -> Column:
    inner: Any = element or base
    shorter = _WITH_LENGTH.get(inner)
    return Column(
        name=name,
        cast=f"{sql_name(type_schema)}.{sql_name(type_name)}",
        base=inner,
        kind=element_kind or kind,
        is_array=element is not None,
        length=modifier - shorter if shorter is not None and modifier and modifier > 0 else None,
        labels=tuple(labels),
        required=not_null and not (has_default or identity or generated),
        filled=bool(identity) or generated or serial,
        always=identity == "a",
        unique=unique,
    )
