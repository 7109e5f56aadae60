"""Asks a server the questions of a deep audit, in one snapshot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from freshpg.isolation.audit.deep import contents
from freshpg.isolation.audit.deep.catalogs import COLUMNS, CTE, Column, readings
from freshpg.isolation.audit.deep.contents import Holder
from freshpg.isolation.audit.deep.difference import Entry, Key
from freshpg.isolation.audit.deep.special import special
from freshpg.postgres.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.postgres.admin import Admin

_BEGIN: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = pg_catalog; SET LOCAL quote_all_identifiers = off; SET LOCAL row_security = on;
SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; SET LOCAL timezone = 'UTC';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex; SET LOCAL xmlbinary = base64; SET LOCAL lc_monetary = 'C';
SET LOCAL jit = off
"""
"""One snapshot, and one way to write every name and value, whatever database and role are set to. Compiling a query of many
small parts would take longer than all of them."""

_BATCH: Final = 200
"""Tables a query: planning a longer UNION takes more memory than a round trip is worth."""

_WHERE_WE_ARE: Final = """
SELECT pg_catalog.has_table_privilege('pg_authid', 'SELECT'),
       pg_catalog.has_table_privilege('pg_file_settings', 'SELECT')
       AND pg_catalog.has_function_privilege('pg_show_all_file_settings()', 'EXECUTE'),
       pg_catalog.has_table_privilege('pg_largeobject', 'SELECT'),
       d.oid::int8, pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""

_NEIGHBOURS: Final = """
SELECT d.datname::text, d.datdba::regrole::text, pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d
 WHERE d.oid >= 16384 AND d.datname <> pg_catalog.current_database()
"""


class Reader:
    """Reads one database once."""

    def __init__(self, admin: Admin, *, shared: bool) -> None:
        self._admin = admin
        self._shared = shared
        self.unread: set[str] = set()
        """Names of what this role may not read."""

    def read(self) -> dict[Key, Entry]:
        """Return every thing's entry."""
        self._admin.execute(_BEGIN)
        try:
            found: dict[Key, Entry] = {}
            for (kind, name), entry in self._entries():
                key = (kind, name)
                while key in found:
                    # Names are unique in a sound database; in another one, neither may hide the other.
                    key = (kind, f"{key[1]} (again)")
                found[key] = entry
            return found
        finally:
            if not self._admin.closed:
                self._admin.execute("ROLLBACK")

    def _entries(self) -> Iterator[tuple[Key, Entry]]:
        row = self._admin.one(_WHERE_WE_ARE)
        assert row is not None  # noqa: S101 (we are connected to it)
        sees_roles, sees_files, sees_large_objects, oid, comment = row
        if not sees_files and self._shared:
            self.unread.add("pg_file_settings")
        yield from self._catalogs(sees_roles=bool(sees_roles), sees_files=bool(sees_files))
        yield from self._holders()
        yield from self._large_objects(all_of_them=bool(sees_large_objects))
        yield ("comment", "this database"), Entry(("text",), (self._comment(comment, int(oid)),))
        if self._shared:
            yield from self._neighbours(Mark.from_comment(comment))

    def _catalogs(self, *, sees_roles: bool, sees_files: bool) -> Iterator[tuple[Key, Entry]]:
        columns = [Column(*row) for row in self._admin.rows(COLUMNS)]
        general = readings(columns, shared=self._shared)
        asked = [
            *general.readings,
            *special(shared=self._shared, sees_roles=sees_roles, sees_files=sees_files),
        ]
        fields = {reading.catalog: reading.fields for reading in asked}
        query = f"WITH {CTE} " + " UNION ALL ".join(reading.sql for reading in asked)
        listed = set()
        for catalog, kind, name, part_of, values in self._admin.rows(query):
            listed.add(catalog)
            yield (kind, name or ""), Entry(fields[catalog], tuple(values), part_of or "")
        # A hidden column of no rows hides nothing.
        self.unread |= {
            one for one in general.unread if "." not in one or one.partition(".")[0] in listed
        }

    def _holders(self) -> Iterator[tuple[Key, Entry]]:
        holders = [Holder(*row) for row in self._admin.rows(contents.HOLDERS)]
        self.unread |= {holder.name for holder in holders if not holder.readable}
        readable = [holder for holder in holders if holder.readable]
        for start in range(0, len(readable), _BATCH):
            batch = readable[start : start + _BATCH]
            query = " UNION ALL ".join(holder.query(at) for at, holder in enumerate(batch))
            for at, first, second in self._admin.rows(query):
                holder = batch[at]
                kind, fields = (
                    ("sequence value", contents.SEQUENCE_FIELDS)
                    if holder.is_sequence
                    else ("rows", contents.ROW_FIELDS)
                )
                yield (kind, holder.name), Entry(fields, (first, second), holder.name)

    def _large_objects(self, *, all_of_them: bool) -> Iterator[tuple[Key, Entry]]:
        if not all_of_them and self._admin.value(contents.HIDES_LARGE_OBJECTS):
            self.unread.add("pg_largeobject")
        query = contents.LARGE_OBJECTS if all_of_them else contents.READABLE_LARGE_OBJECTS
        for name, pages, digest in self._admin.rows(query):
            yield (
                ("large object data", name),
                Entry(contents.LARGE_OBJECT_FIELDS, (pages, digest), name),
            )

    def _comment(self, comment: str | None, oid: int) -> str | None:
        """Return a database's comment without what differs between two clones of one template."""
        mark = Mark.from_comment(comment)
        if mark is None or not mark.proves(oid, self._admin.system):
            return comment
        return f"freshpg {mark.blueprint} {mark.fingerprint}"

    def _neighbours(self, mark: Mark | None) -> Iterator[tuple[Key, Entry]]:
        """Say which databases others made; ours come and go in the background."""
        rows = self._admin.rows(_NEIGHBOURS)
        marks = [mark, *(Mark.from_comment(comment) for _, _, comment in rows)]
        bases = {found.facts.get("base", "") for found in marks if found} - {""}
        for name, owner, comment in rows:
            if not Mark.from_comment(comment) and not _is_of(bases, name):
                yield ("neighbour database", name), Entry(("owner",), (owner,))


def _is_of(bases: Iterable[str], name: str) -> bool:
    """Whether a name is one that freshpg gives: its own database may not carry its mark yet."""
    return any(re.fullmatch(rf"{re.escape(base)}(_.*)?", name) for base in bases)
