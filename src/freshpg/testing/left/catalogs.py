"""What is on a server: on one of ours everything counts, on somebody else's what carries our mark or our name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.postgres.admin import Admin
from freshpg.postgres.mark import Mark
from freshpg.servers.storage import runtime_roots
from freshpg.testing.left.things import Leftover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.testing.left.things import Kind

PATIENCE = 5.0
UNMARKED = re.compile(r"^freshpg_doomed_\d+$|_(template|building)_[0-9a-f]{8,}$")
"""Names of databases that only we give, for those that died before they were marked."""
OUR_PREFIX = "freshpg"

_DATABASES = """
SELECT datname, oid, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database
"""
# Each with name, database it belongs to, words that may begin with our name, and what else helps.
_QUESTIONS: dict[Kind, str] = {
    "role": "SELECT rolname, '', rolname, '' FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'",
    "replication slot": """
        SELECT slot_name, coalesce(database, ''), slot_name, slot_type FROM pg_catalog.pg_replication_slots
    """,
    "prepared transaction": "SELECT gid, database, '', 'by ' || owner FROM pg_catalog.pg_prepared_xacts",
    "connection": """
        SELECT pid || ' since ' || coalesce(backend_start::text, '?'), coalesce(datname, ''),
               coalesce(application_name, ''), concat_ws(' ', application_name, 'by', usename)
          FROM pg_catalog.pg_stat_activity
         WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_catalog.pg_backend_pid()
    """,
}
_DATA = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'"


def on_server(address: Conninfo) -> Iterator[Leftover]:
    """Yield all things on one server.

    Raises:
        FreshpgError: It does not answer.
    """
    own = any(Path(address.host).is_relative_to(root) for root in runtime_roots())
    with Admin.connect(address, connect_timeout=PATIENCE, statement_timeout=PATIENCE) as admin:
        yield from _look(admin, own=own)


def _look(admin: Admin, *, own: bool) -> Iterator[Leftover]:
    where = f"on {admin.conninfo.with_(dbname='', password=None).safe()}"
    ours = set()
    for name, _, comment in admin.rows(_DATABASES):
        if own or _is_ours(name, comment):
            ours.add(name)
            mark = Mark.from_comment(comment)
            yield Leftover(
                "database", name, f"{f'marked {mark.kind}' if mark else 'without a mark'}, {where}"
            )
    for kind, question in _QUESTIONS.items():
        for name, database, word, detail in admin.rows(question):
            if own or database in ours or word.startswith(OUR_PREFIX):
                said = (detail, f"in {database}" if database else "", where)
                yield Leftover(kind, name, ", ".join(filter(None, said)))
    # The directories before the rows: one is made before its row can be seen.
    directories = _base_directories(admin)
    known = {str(oid) for _, oid, _ in admin.rows(_DATABASES)}
    for path in directories:
        if path.name not in known:
            yield Leftover("base directory", str(path), f"no database has this oid, {where}")


def _is_ours(name: str, comment: str | None) -> bool:
    return Mark.from_comment(comment) is not None or UNMARKED.search(name) is not None


def _base_directories(admin: Admin) -> list[Path]:
    """Return those of a server on this machine whose files we may read."""
    data = admin.value(_DATA)
    if not data or not admin.conninfo.is_socket:
        return []
    try:
        return [path for path in Path(data, "base").iterdir() if path.name.isdigit()]
    except OSError:
        return []
