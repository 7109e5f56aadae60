"""One round trip that says whether anything was written, and who is in the middle of something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.isolation.audit.baseline import Snapshot
from freshpg.isolation.residue import SessionResidue
from freshpg.postgres.wal.position import format_lsn, parse_lsn
from freshpg.postgres.wal.source import flush_statement

if TYPE_CHECKING:
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.inside import Inside


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one look gave.

    Attributes:
        moved: WAL was written since the baseline, here or elsewhere on the server.
        lsn: Up to here WAL can be read from its files; where it did not move, the baseline's position.
        snapshot: Of the look.
        others: Sessions in the database besides ours.
        crowded: They are more than half of what the server takes: the next test might get none.
        anybody: Somebody is in the middle of something, or holds an advisory lock.
        busy: Who that is, once :meth:`PulseTaker.name_busy` asked.
        prepared: Names of prepared transactions.
    """

    moved: bool
    lsn: int
    snapshot: Snapshot
    others: int
    crowded: bool
    anybody: bool
    prepared: tuple[str, ...]
    busy: tuple[SessionResidue, ...] = ()


class PulseTaker:
    """Takes the pulse of one database, with statements prepared once."""

    def __init__(self, inside: Inside, *, flushes: bool) -> None:
        self._inside = inside
        self._first = inside.prepared(_first_look(inside, flushes=flushes), "pg_lsn")
        self._unmoved = inside.prepared(_UNMOVED, "pg_lsn")

    def has_moved(self, baseline: Baseline) -> bool:
        """Return whether WAL was written since, in the least time that can be had."""
        (answer,) = self._inside.run(f"EXECUTE {self._unmoved}('{format_lsn(baseline.lsn)}')")
        return answer.rows[0][0] != "t"

    def send(self, baseline: Baseline) -> None:
        """Ask without waiting; :meth:`receive` gives the answer.

        Raises:
            FreshpgError: The session was ended, or its server is gone.
        """
        self._inside.send(f"EXECUTE {self._first}('{format_lsn(baseline.lsn)}')")

    def take(self, baseline: Baseline) -> Pulse:
        """Ask and wait for the answer."""
        self.send(baseline)
        return self.receive()

    def receive(self) -> Pulse:
        """Return what was asked.

        Raises:
            NotOurs: The database lost our mark.
            FreshpgError: The session was ended, or its server is gone.
        """
        (answer,) = self._inside.receive()
        moved, lsn, snapshot, others, crowded, busy, locks, prepared, mark = answer.rows[0]
        self._inside.require_mark(mark)
        assert lsn is not None  # noqa: S101 (never null)
        assert snapshot is not None  # noqa: S101 (as above)
        return Pulse(
            moved == "t",
            parse_lsn(lsn),
            Snapshot.parse(snapshot),
            int(others or 0),
            crowded == "t",
            bool(int(busy or 0) or int(locks or 0)),
            self._prepared_transactions() if int(prepared or 0) else (),
        )

    def name_busy(self, pulse: Pulse) -> Pulse:
        """Return ``pulse`` with those who are busy by now."""
        (answer,) = self._inside.run(_BUSY.format(here=self._inside.database))
        busy = tuple(
            SessionResidue(
                int(pid or 0),
                application or "",
                state or "unknown",
                float(seconds or 0),
                query or "",
                int(locks or 0),
            )
            for pid, application, state, seconds, query, locks in answer.rows
        )
        return replace(pulse, busy=busy)

    def _prepared_transactions(self) -> tuple[str, ...]:
        (answer,) = self._inside.run(
            "SELECT x.gid FROM pg_catalog.pg_prepared_xact() x"
            f" WHERE x.dbid = {self._inside.database}"
        )
        return tuple(str(name) for (name,) in answer.rows)


_UNMOVED = "SELECT pg_catalog.pg_current_wal_insert_lsn() = $1"

_BUSY = """
SELECT a.pid, a.application_name, a.state,
       extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.state_change)),
       pg_catalog.left(a.query, 200), l.held
  FROM pg_catalog.pg_stat_get_activity(NULL) a
  LEFT JOIN (SELECT k.pid, pg_catalog.count(*) AS held FROM pg_catalog.pg_lock_status() k
              WHERE k.locktype = 'advisory' AND k.database = {here} GROUP BY k.pid) l USING (pid)
 WHERE a.datid = {here} AND a.pid <> pg_catalog.pg_backend_pid()
   AND a.backend_type = 'client backend' AND (a.state <> 'idle' OR l.held > 0)
"""


def _first_look(inside: Inside, *, flushes: bool) -> str:
    here = f"{inside.database}::pg_catalog.oid"
    readable = flush_statement(inside.admin.server_version) if flushes else "p.lsn"
    mark = f"pg_catalog.shobj_description({here}, 'pg_database')" if inside.mark else "NULL"
    prepared = (
        f"(SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xact() x WHERE x.dbid = {here})"
        if _can_prepare(inside)
        else "0"
    )
    # Reading the table of locks is dear; where nobody else is, nobody holds any.
    return f"""
SELECT p.lsn <> $1,
       CASE WHEN p.lsn <> $1 THEN {readable} ELSE p.lsn END,
       pg_catalog.pg_current_snapshot(),
       s.others, s.others * 2 > pg_catalog.current_setting('max_connections')::int, s.busy,
       CASE WHEN s.others > 0 THEN
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_lock_status() k
           WHERE k.locktype = 'advisory' AND k.database = {here} AND k.pid IS NOT NULL)
       END,
       {prepared},
       {mark}
  FROM (SELECT pg_catalog.pg_current_wal_insert_lsn() AS lsn OFFSET 0) p,
       (SELECT pg_catalog.count(*) AS others,
               pg_catalog.count(*) FILTER (WHERE a.state <> 'idle') AS busy
          FROM pg_catalog.pg_stat_get_activity(NULL) a
         WHERE a.datid = {here} AND a.pid <> pg_catalog.pg_backend_pid()
           AND a.backend_type = 'client backend') s
"""


def _can_prepare(inside: Inside) -> bool:
    (answer,) = inside.run("SELECT pg_catalog.current_setting('max_prepared_transactions')")
    return answer.rows[0][0] != "0"
