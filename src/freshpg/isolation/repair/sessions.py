"""Ending sessions that would not end by themselves, and prepared transactions: in our own database only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pulse import Pulse
    from freshpg.postgres.admin import Admin

LIMIT = 5_000
"""Milliseconds a session has to end."""


def end_sessions(inside: Inside, pulse: Pulse) -> None:
    """End the busy sessions and roll back the prepared transactions that were seen.

    Raises:
        FreshpgError: The server refused.
    """
    if pulse.busy:
        pids = ", ".join(str(session.pid) for session in pulse.busy)
        inside.run(
            f"SELECT pg_catalog.pg_terminate_backend(a.pid, {LIMIT})"
            " FROM pg_catalog.pg_stat_get_activity(NULL) a"
            f" WHERE a.datid = {inside.database} AND a.pid IN ({pids})"
        )
    if pulse.prepared:
        roll_back_prepared(inside.admin)


def roll_back_prepared(admin: Admin) -> bool:
    """Roll back every prepared transaction of the database we are connected to; return whether there was one.

    Only its owner or a superuser may, and only from inside the same database.
    https://www.postgresql.org/docs/current/sql-rollback-prepared.html

    Raises:
        FreshpgError: The server refused.
    """
    found = admin.rows(
        "SELECT gid, owner, owner = current_user OR pg_catalog.current_setting('is_superuser') = 'on'"
        " FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
    )
    for gid, owner, may in found:
        if not may:
            admin.execute(f"SET ROLE {ident(owner)}")
        admin.execute(f"ROLLBACK PREPARED {literal(gid)}")
        if not may:
            admin.execute("RESET ROLE")
    return bool(found)
