"""The auditors of one blueprint's databases on one server."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from freshpg.core.errors import DatabaseGone
from freshpg.core.events import Bus, ResetConflict

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.audit.auditor import Auditor, Settled
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine
    from freshpg.isolation.repair.server_state import ServerState
    from freshpg.isolation.residue import Residue
    from freshpg.isolation.stock import CloneStock
    from freshpg.postgres.wal.source import WalSource

_SEGMENT_SIZE = "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))"


class Watch:
    """Watches databases from the moment they are known to be fresh. For any thread, one database a thread at a time.

    What audits take is imported with the first one: the first test of a run does not wait for it.

    Args:
        stock: Where fresh clones to compare with come from.
        address: The control role; the database is still to be chosen.
        data: The server's data directory, where it is ours.
        superusers: Tests on a server of ours may change the server itself, so that it is watched as well.
        clock: Passed in by tests.
        events: Where to tell of deadlocks with the application.
    """

    def __init__(
        self,
        stock: CloneStock,
        address: Conninfo,
        *,
        data: Path | None,
        superusers: bool = False,
        clock: Clock,
        events: Bus | None = None,
    ) -> None:
        self._stock = stock
        self._address = address
        self._data = data
        self._superusers = superusers and data is not None
        self._server: ServerState | None = None
        self._clock = clock
        self._events = events or Bus()
        self._lock = threading.Lock()
        self._fresh: dict[str, Baseline] = {}
        self._auditors: dict[str, Auditor] = {}
        self._pristine: Pristine | None = None

    def begin(self, name: str, baseline: Baseline) -> None:
        """Watch a database that was fresh at ``baseline``, in place of one that had its name."""
        with self._lock:
            old = self._auditors.pop(name, None)
            self._fresh[name] = baseline
        if old is not None:
            old.close()
        if self._superusers and self._server is None:
            # What a superuser's test does to the server must not be taken for what was there before.
            self.pristine.facts()
            self._server = self._read_server()

    @property
    def own(self) -> bool:
        """Whether the server is ours, where every database is."""
        return self._data is not None

    def audit(self, name: str) -> Residue:
        """Return how it and its server differ from what they were; raises as :meth:`Auditor.audit` does."""
        return self._with_server(self._of(name).audit())

    def begin_look(self, name: str) -> None:
        """Have the next :meth:`settle` wait less; without a session to ask in, none is opened for it."""
        auditor = self._auditors.get(name)
        if auditor is not None:
            auditor.begin()

    def settle(self, name: str) -> Settled:
        """Undo what was left in it, and on its server; raises as :meth:`Auditor.settle` does."""
        auditor = self._of(name)
        settled = auditor.settle()
        if self._server is None:
            return settled
        residue = self._with_server(settled.residue)
        if residue.objects != settled.residue.objects:
            auditor.restore_server(self._server)
        return replace(settled, residue=residue)

    def prove(self, name: str) -> Residue:
        """Return how it differs from its template by the deep comparison; raises as :meth:`Auditor.prove` does."""
        return self._with_server(self._of(name).prove())

    def end(self, *names: str) -> None:
        """Let go of databases, all of them when none is named; again is fine."""
        with self._lock:
            for name in names or tuple(self._fresh):
                self._fresh.pop(name, None)
            ended = [self._auditors.pop(name, None) for name in names or tuple(self._auditors)]
        for auditor in ended:
            if auditor is not None:
                auditor.close()

    @property
    def pristine(self) -> Pristine:
        """What knows the template."""
        from freshpg.isolation.audit.pristine import Pristine

        if self._pristine is None:
            self._pristine = Pristine(
                self._stock,
                self._address,
                own=self._data is not None,
                superusers=self._superusers,
            )
        return self._pristine

    def _read_server(self) -> ServerState:
        from freshpg.isolation.repair.server_state import ServerState
        from freshpg.postgres.admin import Admin

        with Admin.connect(self._address, application_name="freshpg audit") as admin:
            return ServerState.read(admin)

    def _with_server(self, residue: Residue) -> Residue:
        if self._server is None:
            return residue
        from freshpg.isolation.repair.server_state import residue_of

        found = residue_of(self._server, self._read_server())
        return replace(residue, objects=(*residue.objects, *found)) if found else residue

    def _of(self, name: str) -> Auditor:
        with self._lock:
            if name not in self._auditors:
                self._auditors[name] = self._new_auditor(name)
            return self._auditors[name]

    def _new_auditor(self, name: str) -> Auditor:
        from freshpg.isolation.audit.auditor import Auditor
        from freshpg.isolation.audit.inside import Inside

        baseline = self._fresh.get(name)
        if baseline is None:
            raise DatabaseGone(
                "a database was to be compared with its template",
                on=name,
                seen="putting a fresh clone in its place had failed before",
            )
        return Auditor(
            name,
            lambda: Inside.open(
                self._address.with_(dbname=name),
                own=self._data is not None,
                oid=baseline.database,
            ),
            self.pristine,
            self._wal,
            baseline,
            clock=self._clock,
            on_conflict=lambda seen: self._events.emit(ResetConflict(name, seen)),
        )

    def _wal(self, inside: Inside) -> WalSource | None:
        from freshpg.postgres.wal.source import LocalWal, SqlWal

        if self._data is not None:
            return LocalWal(self._data, int(inside.admin.value(_SEGMENT_SIZE)))
        return SqlWal(inside.admin) if SqlWal.usable(inside.admin) else None
