"""Who is connected, and ending them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.errors import DatabaseBusy
from freshpg.postgres.admin import Admin
from freshpg.postgres.database_facts import Session
from freshpg.postgres.dropping import pauses
from freshpg.postgres.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Deadline
    from freshpg.postgres.database_facts import DatabaseFacts

# Looked up and ended in one statement: a pid read earlier may belong to another session by now. By oid: a name may
# belong to another database by now. Sessions that our role
# may not end are left out, because one refusal would spare all the others.
_TERMINATE = """
SELECT pg_catalog.pg_terminate_backend(pid)
  FROM pg_catalog.pg_stat_activity
 WHERE datid = %s AND pid <> pg_catalog.pg_backend_pid()
   AND (pg_catalog.current_setting('is_superuser') = 'on'
        OR pg_catalog.pg_has_role(usesysid, 'MEMBER')
        OR (pg_catalog.pg_has_role('pg_signal_backend', 'MEMBER')
            AND usesysid IN (SELECT oid FROM pg_catalog.pg_roles WHERE NOT rolsuper)))
"""


# What holds a database: sessions, told to end here, and prepared transactions, which only a session inside can end.
_END_EVERYBODY = """
SELECT datname, pg_catalog.pg_terminate_backend(pid)
  FROM pg_catalog.pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
 UNION ALL
SELECT database, true FROM pg_catalog.pg_prepared_xacts
"""


def sessions_in(admin: Admin, oid: int) -> list[Session]:
    """Return who is connected to the database with that oid, ourselves excluded."""
    rows = admin.rows(
        """
        SELECT pid, coalesce(usename, backend_type), application_name, coalesce(state, ''), query,
               coalesce(extract(epoch FROM now() - coalesce(state_change, backend_start)), 0)::float8
          FROM pg_catalog.pg_stat_activity
         WHERE datid = %s AND pid <> pg_catalog.pg_backend_pid()
        """,
        (oid,),
    )
    return [Session(*row) for row in rows]


def terminate_in(admin: Admin, oid: int) -> None:
    """Tell the sessions of the database with that oid to end, as far as we may; they take a moment."""
    admin.rows(_TERMINATE, (oid,))


def end_sessions(admin: Admin, facts: DatabaseFacts, limit: Deadline) -> list[Session]:
    """End every session of a database, wait until they are gone, and return who they were.

    Raises:
        DatabaseBusy: Some are left at the deadline.
    """
    seen = left = sessions_in(admin, facts.oid)
    waits = pauses()
    while left:
        if limit.expired:
            raise DatabaseBusy(
                "sessions were ended to free a database",
                on=facts.name,
                seen="\n".join(str(session) for session in left),
                todo=(
                    "end them yourself: they ignore pg_terminate_backend, or our role may not end them",
                ),
            )
        terminate_in(admin, facts.oid)
        limit.clock.sleep(min(next(waits), limit.remaining))
        left = sessions_in(admin, facts.oid)
    return seen


def end_prepared_transactions(
    admin: Admin, facts: DatabaseFacts, *, let_in: Callable[[], object] = lambda: None
) -> bool:
    """Roll back what was prepared in a database; return whether there was any. ``let_in`` is called before one enters."""
    found = admin.rows(
        "SELECT x.gid FROM pg_catalog.pg_prepared_xact() x WHERE x.dbid = %s", (facts.oid,)
    )
    if not found:
        return False
    let_in()
    # ROLLBACK PREPARED works only from inside the same database: from another one of this name it is an error.
    with Admin.connect(admin.conninfo.with_(dbname=facts.name)) as inside:
        for (gid,) in found:
            inside.execute(f"ROLLBACK PREPARED {literal(gid)}")
    return True


def end_everybody(admin: Admin) -> set[str]:
    """Tell all other sessions of a server of ours to end; return the databases that anybody was in."""
    return {str(name) for name, _ in admin.rows(_END_EVERYBODY)}
