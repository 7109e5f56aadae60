"""What the sessions of a database are doing and whom they wait for, read when a step does not end."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, MigrationTimedOut
from freshpg.postgres.databases import Databases

if TYPE_CHECKING:
    from freshpg.templates.migrations.base import Target

_ACTIVITY = """
WITH RECURSIVE involved(pid) AS (
    SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname = %s AND pid <> pg_catalog.pg_backend_pid()
    UNION
    SELECT blocker FROM involved, pg_catalog.unnest(pg_catalog.pg_blocking_pids(involved.pid)) AS blocker
)
SELECT pid, coalesce(usename, backend_type), application_name, coalesce(state, 'unknown state'),
       coalesce(wait_event_type || '/' || wait_event, ''),
       coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(query_start, backend_start)), 0)::float8,
       pg_catalog.pg_blocking_pids(pid), query
  FROM pg_catalog.pg_stat_activity JOIN involved USING (pid)
 ORDER BY pg_catalog.cardinality(pg_catalog.pg_blocking_pids(pid)) DESC, pid
"""
_SHOWN = 12


def describe_sessions(target: Target) -> str:
    """Return a line a session of the database, those who wait first, then those who make them wait.

    Never raises: it explains another failure.
    """
    try:
        with closing(target.admin()) as admin:
            rows = admin.rows(_ACTIVITY, (target.conninfo.dbname,))
    except FreshpgError as error:
        return f"the server could not be asked what it waits for: {error.seen or error.failed}"
    if not rows:
        return "no session of the database is open: it does not wait for the server"
    return "\n".join(_session_line(row) for row in rows[:_SHOWN])


def _session_line(row: tuple[object, ...]) -> str:
    pid, user, application, state, waits_for, seconds, blockers, query = row
    doing = f"waits for {waits_for}" if waits_for else "waits for nothing"
    if isinstance(blockers, list) and blockers:
        doing += f", held by pid {', '.join(str(blocker) for blocker in blockers)}"
    who = f"pid {pid} ({user}, {application or 'no application_name'})"
    return f"{who} {state} for {seconds:.1f} s, {doing}: {shorten(str(query))}"


def timed_out(
    what: str, target: Target, seconds: float, *, on: str, also: str = "", **data: object
) -> MigrationTimedOut:
    """Return the error for a step that was ended at its deadline; ``seconds`` is what it was given."""
    sessions = describe_sessions(target)
    return MigrationTimedOut(
        f"{what} ran for {seconds:.1f} s and was ended at its deadline",
        on=on,
        seen="\n".join(part for part in (sessions, also) if part),
        todo=(
            "end what holds the lock, or find out why it does not go on (see above)",
            "give it more time: deadline = seconds in [tool.freshpg.databases.<blueprint>]",
        ),
        seconds=seconds,
        sessions=sessions,
        **data,
    )


def end_sessions(target: Target) -> None:
    """End the sessions of the database: a killed client's statement runs on until it next writes to the client.

    Raises:
        DatabaseBusy: Some do not react.
    """
    with closing(target.admin()) as admin:
        Databases(admin).clear_holders(target.conninfo.dbname, in_the_making=True)


def shorten(statement: str, limit: int = 160) -> str:
    """Return a statement on one line, cut when it is long."""
    line = " ".join(statement[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
