"""What a server is asked about tenants' databases of a test, from outside of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.database_facts import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.tenancy import TenantDatabases

_SESSIONS = """
SELECT datname, pid, coalesce(usename, ''), application_name, coalesce(state, ''), coalesce(query, ''),
       coalesce(extract(epoch FROM now() - coalesce(state_change, backend_start)), 0)::float8
  FROM pg_catalog.pg_stat_activity
 WHERE datname = ANY(%s) AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
 ORDER BY pid
"""

# reserved_connections came with version 16.
_CAPACITY = """
SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)
  FROM pg_catalog.pg_settings
 WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""

_OPEN_ENDS = """
SELECT a.datname, a.pid, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change))::float8,
       a.query, coalesce(l.held, 0)
  FROM pg_catalog.pg_stat_activity a
  LEFT JOIN (SELECT pid, count(*) AS held FROM pg_catalog.pg_locks
              WHERE locktype = 'advisory' GROUP BY pid) l USING (pid)
 WHERE a.datname = ANY(%s) AND a.backend_type = 'client backend'
   AND a.pid <> pg_catalog.pg_backend_pid() AND (a.state <> 'idle' OR l.held > 0)
 UNION ALL
SELECT database, 0, '', 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8, gid, 0
  FROM pg_catalog.pg_prepared_xacts WHERE database = ANY(%s)
 ORDER BY 2
"""

_SHOWN = 200
"""Characters of a statement that a message shows."""


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """A session in the middle of something, or with an advisory lock; or a prepared transaction, which has no session."""

    database: str
    pid: int
    application: str
    state: str
    seconds: float
    query: str
    """Its last statement; the name of a prepared transaction."""
    locks: int
    """Advisory locks it holds."""

    def __str__(self) -> str:
        if not self.pid:
            return f"transaction {self.query!r} is prepared"
        held = f", {self.locks} advisory lock{'s' * (self.locks != 1)}" if self.locks else ""
        query = " ".join(self.query.split())[:_SHOWN]
        return f"pid {self.pid} {self.application!r} {self.state} for {self.seconds:.1f} s{held}: {query}"


def sessions_in(databases: TenantDatabases, *others: str) -> list[tuple[str, Session]]:
    """Return who is connected to tenants' databases, and to ``others`` by name, each with the database's name."""
    names = [*databases.tenants.values(), *others]
    return [(database, Session(*facts)) for database, *facts in databases.rows(_SESSIONS, (names,))]


def open_ends_in(databases: TenantDatabases, others: Iterable[str] = ()) -> list[OpenEnd]:
    """Return what is not at its end there, and in ``others`` by name."""
    names = [*databases.tenants.values(), *others]
    return [OpenEnd(*row) for row in databases.rows(_OPEN_ENDS, (names, names))]


def capacity_of(databases: TenantDatabases) -> int:
    """Return how many connections their server has for everybody who is no superuser."""
    ((capacity,),) = databases.rows(_CAPACITY)
    return int(capacity)
