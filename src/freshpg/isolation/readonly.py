"""Level ``readonly``: one shared clone a server and blueprint; any number of tests at once, never reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core import names
from freshpg.core.backoff import delays
from freshpg.core.clock import Deadline
from freshpg.core.errors import DatabaseBusy, UsageInvalid
from freshpg.core.faults import faultpoint
from freshpg.isolation.base import Control
from freshpg.isolation.cloning import Cloner
from freshpg.isolation.residue import Residue
from freshpg.leases.locks import holders, proven_free
from freshpg.leases.slots import READONLY
from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.isolation.cloning import CloneSource
    from freshpg.isolation.levels import Level
    from freshpg.leases.lease import LeaseConnection
    from freshpg.postgres.databases import Databases


class ReadonlyIsolation:
    """Hands out one database whose sessions start read-only.

    Its users hold the lock of slot 0 together, through their leases' connection; whoever makes or replaces it holds
    that lock alone. So one of another fingerprint is replaced only when its last user is gone.
    """

    level: Level = "readonly"

    def __init__(
        self, connect: Callable[[], Databases], source: CloneSource, lease: LeaseConnection
    ) -> None:
        self._source = source
        self._lease = lease
        self._control = Control(connect)
        self._name = names.readonly_name(source.base)
        self._entered = False

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:  # noqa: ARG002 (everybody gets the same one)
        """Return the name of the shared database, made now if it is not there.

        Raises:
            DatabaseBusy: One of another fingerprint is in use until the deadline; names by whom.
        """
        if self._entered:
            return self._name
        with self._control() as databases:
            end = Deadline(deadline, databases.clock)
            for delay in delays(0.002, limit=0.25):
                if self._join(databases) or (self._make(databases) and self._join(databases)):
                    self._entered = True
                    break
                if end.expired:
                    raise self._busy(databases, end)
                databases.clock.sleep(min(delay, end.remaining))
        return self._name

    def leave(self, name: str) -> Residue:
        """Do nothing: it is shared, and nothing can have changed."""
        return Residue(name, replaced=False)

    def audit(self, name: str) -> Residue:
        """Return that nothing was compared: this level has nothing to compare with."""
        return Residue(name)

    def prove(self, name: str) -> Residue:
        """Return that nothing was compared, as :meth:`audit` does."""
        return Residue(name)

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Refuse: others read the same database.

        Raises:
            UsageInvalid: Always.
        """
        del deadline
        raise self._shared("a reset was asked for", name)

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Refuse: others read the same database.

        Raises:
            UsageInvalid: Always.
        """
        del failed_name, test, why
        raise self._shared("a database was to be kept for inspection", name)

    def close(self) -> None:
        """Stop being one of its users; the database stays for the next run."""
        self._entered = False
        if self._lease.alive:
            self._lease.leave_readonly(self._source.base)
        self._control.close()

    def _join(self, databases: Databases) -> bool:
        if not self._lease.share_readonly(self._source.base):
            return False
        facts = databases.find(self._name)
        mark = facts.mark if facts else None
        wanted = (self._source.blueprint, self._source.fingerprint)
        if mark and mark.kind == "readonly" and (mark.blueprint, mark.fingerprint) == wanted:
            return True
        self._lease.leave_readonly(self._source.base)
        return False

    def _make(self, databases: Databases) -> bool:
        with proven_free(databases.admin, self._source.base, READONLY) as alone:
            if not alone:
                return False
            databases.drop(self._name)
            faultpoint("readonly.cleared")
            cloner = Cloner(databases, self._source)
            oid = cloner.make(self._name, "scratch")
            databases.act(
                self._name,
                [f"ALTER DATABASE {ident(self._name)} SET default_transaction_read_only = on"],
                {self._name: oid},
            )
            faultpoint("readonly.made")
            # Marked as what it is last: a maker killed before leaves what nobody will join.
            databases.mark(self._name, self._source.mark("readonly", databases.clock), oid=oid)
        return True

    def _busy(self, databases: Databases, end: Deadline) -> DatabaseBusy:
        found = holders(databases.admin, [self._source.base])
        lines = [str(holder) for holder in found if holder.slot == READONLY]
        return DatabaseBusy(
            f"waited {end.seconds:g} s to replace the shared read-only database, which is of another template",
            on=self._name,
            seen="\n".join(f"used by {line}" for line in lines),
            todo=("wait for the other runs to end, or end them",),
            holders=tuple(lines),
        )

    def _shared(self, failed: str, name: str) -> UsageInvalid:
        return UsageInvalid(
            failed,
            on=name,
            seen="it has isolation 'readonly': other tests read it at the same time, and nobody can change it",
            todo=("ask for isolation 'reset' or 'clone' in this test",),
        )
