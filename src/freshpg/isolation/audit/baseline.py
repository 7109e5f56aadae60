"""When a database was last proven equal to its template, in the server's own terms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.postgres.wal.position import parse_lsn

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin

XIDS = 1 << 32

_NOW = "SELECT pg_catalog.pg_current_wal_insert_lsn()::text, pg_catalog.pg_current_snapshot()::text"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``pg_current_snapshot()``: every transaction below ``xmin`` has ended, none from ``xmax`` on had begun.

    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read ``xmin:xmax:running,…``."""
        xmin, xmax, running = text.split(":")
        return cls(
            int(xmin),
            int(xmax),
            frozenset(map(int, running.split(","))) if running else frozenset(),
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """The moment of a proof.

    Attributes:
        lsn: Everything written before was looked at.
        xid: Rows of this transaction and later ones are news.
        running: Transactions that had begun and not ended: what they wrote before ``lsn`` shows when they commit.
        database: Oid of the database it is of; 0 where that is not known. It is not kept from proof to proof.
    """

    lsn: int
    xid: int
    running: frozenset[int] = frozenset()
    database: int = 0

    @classmethod
    def at(cls, lsn: int, snapshot: Snapshot) -> Baseline:
        """Return the baseline of a proof made under ``snapshot``, of all that was written before ``lsn``."""
        return cls(lsn, snapshot.xmin, snapshot.running)

    @property
    def running_xids(self) -> frozenset[int]:
        """The running transactions as WAL names them, without their epoch."""
        return frozenset(xid % XIDS for xid in self.running)

    @property
    def xid_text(self) -> str:
        """The transaction as the server writes it in a row, without its epoch."""
        return str(self.xid % XIDS)


def read_baseline(admin: Admin, database: int = 0) -> Baseline:
    """Return the present as a baseline, for a database that is known to be fresh and in use by nobody."""
    lsn, snapshot = admin.one(_NOW) or ("0/0", "0:0:")
    found = Baseline.at(parse_lsn(str(lsn)), Snapshot.parse(str(snapshot)))
    return replace(found, database=database)


def window_is_quiet(before: Snapshot, after: Snapshot, ours: int) -> bool:
    """Return whether nobody but us wrote between two snapshots, where we began ``ours`` transactions that write.

    A transaction that was running all the time is no matter: its commit will be seen.
    """
    return after.xmax - before.xmax == ours and before.running <= after.running
