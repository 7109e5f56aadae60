"""What the server knows of its databases, read from its catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.postgres.database_facts import DatabaseFacts
from freshpg.postgres.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Collection

    from freshpg.postgres.admin import Admin

# Often the first question of a new session, whose caches are empty: what the views and functions made for people
# (pg_roles, shobj_description) touch beside would take a third longer. 1262 is the oid of pg_database.
_FIND = """
SELECT d.oid, d.datname, d.datallowconn, d.datistemplate, d.datconnlimit, pg_catalog.pg_get_userbyid(d.datdba),
       (SELECT c.description FROM pg_catalog.pg_shdescription c WHERE c.objoid = d.oid AND c.classoid = 1262)
  FROM pg_catalog.pg_database d
"""

# The functions below the views pg_stat_activity and pg_prepared_xacts: this runs once a clone.
_FIND_HELD = """
SELECT d.oid, d.datname, d.datallowconn, d.datistemplate, d.datconnlimit, r.rolname,
       pg_catalog.shobj_description(d.oid, 'pg_database'),
       pg_catalog.pg_stat_get_db_numbackends(d.oid) > 0
       OR EXISTS (SELECT FROM pg_catalog.pg_prepared_xact() AS held WHERE held.dbid = d.oid)
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
 WHERE d.datname = {name}
"""


class Finder:
    """Looks for databases of one server, through one control connection."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin

    def find(self, name: str) -> DatabaseFacts | None:
        """Return what the server knows of ``name``, or ``None``."""
        row = self.admin.one(f"{_FIND} WHERE d.datname = %s", (name,))
        return self._facts(row) if row and row[1] == name else None

    def find_and_ask_if_held(
        self, name: str, *, own: bool = False
    ) -> tuple[DatabaseFacts, bool] | None:
        """Return the same, and whether sessions or prepared transactions hold it, in one round trip.

        On a server of our ``own`` nothing stands in between that would not know prepared statements.
        """
        if own:
            row = self.admin.prepared(_FIND_HELD.format(name="$1"), name)
        else:
            row = self.admin.one(_FIND_HELD.format(name="%s"), (name,))
        # The server cuts a longer name to 63 bytes, which may be the name of another database.
        return (self._facts(row[:-1]), bool(row[-1])) if row and row[1] == name else None

    def find_all(self, names: Collection[str]) -> list[DatabaseFacts]:
        """Return those of ``names`` that exist, ours or not."""
        rows = self.admin.rows(f"{_FIND} WHERE d.datname = ANY(%s)", (list(names),))
        return [self._facts(row) for row in rows]

    def find_starting(self, prefix: str) -> list[DatabaseFacts]:
        """Return every database whose name starts with ``prefix``, ours or not."""
        rows = self.admin.rows(f"{_FIND} WHERE pg_catalog.starts_with(d.datname, %s)", (prefix,))
        return [self._facts(row) for row in rows]

    def all_marked(self) -> list[DatabaseFacts]:
        """Return every database that provably carries our mark."""
        found = (self._facts(row) for row in self.admin.rows(f"{_FIND} ORDER BY d.datname"))
        return [facts for facts in found if facts.mark]

    def _facts(self, row: tuple[object, ...]) -> DatabaseFacts:
        oid, name, allows, is_template, limit, owner, comment = row
        mark = Mark.from_comment(comment if isinstance(comment, str) else None)
        if mark and not mark.proves(int(str(oid)), self.admin.system):
            mark = None
        return DatabaseFacts(
            int(str(oid)),
            str(name),
            bool(allows),
            bool(is_template),
            int(str(limit)),
            str(owner),
            mark,
        )
