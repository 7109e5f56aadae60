"""What to say of a database that is not ours to touch: which one it is, and why it looks like somebody's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, NotOurs
from freshpg.postgres.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freshpg.postgres.admin import Admin

# Its size can be asked for by those who may connect, and by those who may see all statistics.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
_ABOUT = """
SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba),
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
              OR pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER') THEN pg_catalog.pg_database_size(d.oid) END,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
         WHERE a.datid = d.oid AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'),
       pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d WHERE d.datname = %s
"""

_SHOWN = 120
"""Characters of a stranger's comment that are shown."""

ABOUT_TO = "a database was about to be compared and cleared"

REMEDIES = (
    "give the blueprint another name: [tool.freshpg.databases.<blueprint>] name = …",
    "or drop the database yourself if nobody needs it",
)


def not_ours(
    admin: Admin, name: str, failed: str, *, todo: Sequence[str] = REMEDIES, why: str = ""
) -> NotOurs:
    """Return the refusal to touch a database: server, name, size, owner, who is in it, and why it is not ours.

    Args:
        admin: A control connection to its server, through which all this is asked.
        name: The database.
        failed: What was about to be done.
        todo: What its user may do.
        why: Known already; otherwise the comment on the database says.
    """
    server = admin.conninfo.with_(dbname="").safe()
    oid, owner, size, sessions, comment, system = 0, "", None, 0, None, ""
    # A refusal stands whether or not its reasons can be asked for.
    with suppress(FreshpgError):
        system = admin.system
        oid, owner, size, sessions, comment = admin.one(_ABOUT, (name,)) or (0, "", None, 0, None)
    why = why or reason(comment, int(oid), system)
    seen = "\n".join(
        (
            f"server: {server}" + (f", cluster {system}" if system else ""),
            f"database: {name}, {_size(size)}, owned by {owner or 'nobody known'}, {sessions} other sessions in it",
            f"{why}; nothing was changed there",
        )
    )
    return NotOurs(
        failed,
        on=name,
        seen=seen,
        todo=todo,
        name=name,
        server=server,
        oid=int(oid),
        size=size,
        owner=owner,
        why=why,
    )


def put_in_place(admin: Admin, name: str, oid: int) -> NotOurs:
    """Return the refusal to touch whatever has the name of the database with that oid now."""
    elsewhere = None
    with suppress(FreshpgError):
        elsewhere = admin.value("SELECT datname FROM pg_catalog.pg_database WHERE oid = %s", (oid,))
    return not_ours(
        admin,
        name,
        "a database was about to be changed or removed",
        why=f"it was put in the place of the one freshpg made, number {oid}"
        + (f", which is called {elsewhere} now" if elsewhere else ", which is gone"),
    )


def require_proven(admin: Admin, oid: int, comment: str | None) -> None:
    """Require what a session reads of its own database, its oid and its comment, to prove that freshpg made it.

    Raises:
        NotOurs: It does not.
    """
    mark = Mark.from_comment(comment)
    if not mark or not mark.proves(oid, admin.system):
        raise not_ours(admin, admin.conninfo.dbname, ABOUT_TO)


def require_same(admin: Admin, oid: int, wanted: int) -> None:
    """Require a session's own database, which has ``oid``, to be the ``wanted`` one; 0 where that is not known.

    Raises:
        NotOurs: It is another one.
    """
    if wanted not in {0, oid}:
        raise put_in_place(admin, admin.conninfo.dbname, wanted)


def reason(comment: str | None, oid: int, system: str) -> str:
    """Return why a comment on the database with that oid, on that cluster, is no proof that freshpg made it. Pure."""
    if not comment:
        return "it does not carry freshpg's mark (COMMENT ON DATABASE), so freshpg did not make it"
    mark = Mark.from_comment(comment)
    if mark is None:
        shown = comment if len(comment) <= _SHOWN else f"{comment[:_SHOWN]}…"
        return f"its comment is {shown!r}, which is not freshpg's mark, so freshpg did not make it"
    if mark.system != system:
        return (
            f"its mark was made for a database of cluster {mark.system}: it came with a dump or by hand,"
            " or the address leads elsewhere now"
        )
    if mark.oid != oid:
        return f"its mark was made for database number {mark.oid}, and this is number {oid}: it was copied"
    return "its mark is not the one that freshpg read before"


def _size(size: int | None) -> str:
    if size is None:
        return "of unknown size"
    return f"{size / 2**20:,.1f} MB"
