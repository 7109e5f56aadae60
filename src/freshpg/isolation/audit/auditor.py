"""Compares one leased database with its template, and makes it equal again where that can be done in place.

A look costs a round trip; where something was written, a second one asks what it came to, or undoes it at once. Every
undoing ends with a proof, in the same exchange, that becomes the next baseline. What cannot be proven is not clean, and
whoever asked replaces the database.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import StatementFailed, WaitTimedOut
from freshpg.isolation.audit.baseline import Baseline, window_is_quiet
from freshpg.isolation.audit.examination import NOTHING_FOUND, Examination, describe, examine
from freshpg.isolation.audit.pulse import PulseTaker
from freshpg.isolation.audit.rewritten import rewritten
from freshpg.isolation.audit.suspects import (
    Suspects,
    everything,
    from_touched,
    never_logged,
    of_owners,
    to_ask_first,
)
from freshpg.isolation.repair.conflicts import both_sides, is_conflict
from freshpg.isolation.repair.refill import refill
from freshpg.isolation.repair.sessions import end_sessions
from freshpg.isolation.repair.subscriptions import drop_subscriptions
from freshpg.isolation.repair.undo import prove, undo
from freshpg.isolation.residue import ObjectResidue, Residue
from freshpg.postgres.quoting import ident
from freshpg.postgres.wal.source import FLUSHES_BY_ARGUMENT
from freshpg.postgres.wal.touched import read_touched

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Clock
    from freshpg.isolation.audit.facts import Facts, Owner, SequenceFacts, TableFacts
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine
    from freshpg.isolation.audit.pulse import Pulse
    from freshpg.isolation.repair.server_state import ServerState
    from freshpg.postgres.wal.source import WalSource

MOST_WAL = 256 * 1024
"""Bytes of WAL from which asking everything costs less than reading them."""

GRACE = 0.05
"""Seconds a session may need to notice that its client has gone."""
BETWEEN_LOOKS = 0.0005

MOST_DELETED = 50_000
"""Rows of one table from which a fresh clone costs less than deleting them."""

_OWNER = """
SELECT r.rolname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
 WHERE d.datname = pg_catalog.current_database()
"""

_CUT = "the session that looked at it was ended: where the whole server was, it may have forgotten what was undone"

MOST_LATE = 1_000
"""Transactions that others may begin within one look."""

ROUNDS = 5
"""Looks until a database that others keep writing to is given up."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found and undone.

    Attributes:
        residue: So far.
        clean: Equality is now proven.
        look_again: Somebody else wrote meanwhile, so that nothing is.
    """

    residue: Residue
    clean: bool
    look_again: bool = False


class Auditor:
    """One database's audits. Not thread-safe.

    Args:
        name: Of the database, for people.
        inside: Opens the connection inside it.
        pristine: Knows the template.
        wal: Where WAL can be read, given a connection; None where it cannot.
        baseline: When it was known to be fresh.
        clock: Passed in by tests.
        on_conflict: Told when an undoing was ended for the sake of another session: what both did.
    """

    def __init__(
        self,
        name: str,
        inside: Callable[[], Inside],
        pristine: Pristine,
        wal: Callable[[Inside], WalSource | None],
        baseline: Baseline,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_conflict: Callable[[str], object] = lambda _seen: None,
    ) -> None:
        self.name = name
        self.baseline = baseline
        self._open_inside = inside
        self._pristine = pristine
        self._open_wal = wal
        self._clock = clock
        self._on_conflict = on_conflict
        self._inside: Inside | None = None
        self._wal: WalSource | None = None
        self._taker: PulseTaker | None = None
        self._begun = False
        self._was_cut = False
        self._rewritten: dict[int, Owner] = {}

    def begin(self) -> None:
        """Send the first look of the next :meth:`settle`, whose answer then need not be waited for.

        Raises:
            FreshpgError: It could not be sent.
        """
        self._ready_taker().send(self.baseline)
        self._begun = True

    def audit(self) -> Residue:
        """Return how the database differs from its template now; nothing is changed.

        Raises:
            FreshpgError: It could not be looked at.
        """
        pulse = self._rested()
        suspects = self._suspects(pulse)
        residue = Residue(
            self.name,
            audited=True,
            how=suspects.how,
            sessions=pulse.busy,
            prepared=pulse.prepared,
        )
        if not suspects:
            return residue
        try:
            found = self._examine(suspects)
        except WaitTimedOut as error:
            # Whoever locks a table is among the busy ones, and residue enough.
            if not residue:
                raise
            return replace(residue, doubt=error.seen or str(error))
        return describe(residue, found, self._session, self._pristine, self.baseline)

    def prove(self) -> Residue:
        """Return how the database differs from its template, every row and every definition compared.

        Raises:
            FreshpgError: It could not be read whole: a lock is held, or the session was ended.
        """
        found, unread = self._pristine.compare(self.name)
        objects = tuple(ObjectResidue(one.kind, one.name, one.change) for one in found)
        doubt = f"not readable to this role: {', '.join(unread)}" if unread else ""
        return Residue(self.name, audited=True, how="deep", objects=objects, doubt=doubt)

    def settle(self) -> Settled:
        """Undo what was left and prove that nothing is; what cannot be undone here is described.

        Raises:
            FreshpgError: The database or its server is gone.
        """
        residue = Residue(self.name, audited=True, how="pulse")
        doubt = "others kept writing while it was being cleared"
        for _ in range(ROUNDS):
            old = self._begun
            pulse = self._rested()
            if self._was_cut:
                return Settled(replace(residue, doubt=_CUT), clean=False)
            if pulse.busy or pulse.prepared:
                end_sessions(self._session, pulse)
                residue = residue.with_sessions(pulse.busy, pulse.prepared)
                continue
            if pulse.crowded:
                doubt = f"{pulse.others} connections were left open, more than half of what the server takes"
                return Settled(replace(residue, doubt=doubt), clean=False)
            suspects = self._suspects(pulse)
            if not suspects:
                proven = self._proven(residue, Baseline.at(pulse.lsn, pulse.snapshot))
                if old and self._ready_taker().has_moved(self.baseline):
                    continue
                return proven
            try:
                settled = self._undo(replace(residue, how=suspects.how), suspects, pulse)
            except StatementFailed as error:
                doubt = self._after_conflict(error)
                continue
            if not settled.look_again:
                return settled
            residue = settled.residue
        return Settled(replace(residue, doubt=doubt), clean=False)

    def restore_server(self, before: ServerState) -> None:
        """Put the server back to what it was, as far as it is not the database's own.

        Raises:
            FreshpgError: The server refused.
        """
        from freshpg.isolation.repair.server_state import ServerState, restore

        admin = self._session.admin
        restore(admin, before, ServerState.read(admin))

    def close(self) -> None:
        """End the connection inside; again is fine."""
        inside, self._inside, self._taker, self._begun = self._inside, None, None, False
        wal, self._wal = self._wal, None
        if wal is not None:
            wal.close()
        if inside is not None:
            inside.close()

    @property
    def _session(self) -> Inside:
        if self._inside is None or not self._inside.alive:
            self._was_cut = self._was_cut or self._inside is not None
            self.close()
            self._inside = self._open_inside()
            self._wal = self._open_wal(self._inside)
            self._taker = PulseTaker(self._inside, flushes=self._wal is not None)
        return self._inside

    @property
    def _flushes(self) -> int:
        """Transactions of ours that one look costs: before PostgreSQL 17 only a commit flushes WAL."""
        old = self._session.admin.server_version < FLUSHES_BY_ARGUMENT
        return int(self._wal is not None and old)

    @property
    def _facts(self) -> Facts:
        return self._pristine.facts()

    def _ready_taker(self) -> PulseTaker:
        _ = self._session
        assert self._taker is not None  # noqa: S101 (made with the session)
        return self._taker

    def _look(self) -> Pulse:
        taker = self._ready_taker()
        if self._begun:
            self._begun = False
            return taker.receive()
        return taker.take(self.baseline)

    def _rested(self) -> Pulse:
        """Look, and give sessions whose client has just gone the time to notice."""
        pulse = self._look()
        if not pulse.anybody:
            return pulse
        # Most have left by the time of a second look.
        patience = Deadline(GRACE, self._clock)
        pulse = self._look()
        while pulse.anybody and not patience.expired:
            self._clock.sleep(BETWEEN_LOOKS)
            pulse = self._look()
        return self._ready_taker().name_busy(pulse) if pulse.anybody else pulse

    def _suspects(self, pulse: Pulse) -> Suspects:
        if not pulse.moved:
            return never_logged(self._facts)
        touched = None
        if self._wal is not None and pulse.lsn - self.baseline.lsn <= MOST_WAL:
            touched = read_touched(self._wal, self.baseline.lsn, pulse.lsn, self._session.database)
        if touched is None:
            return everything(self._facts)
        return from_touched(touched, self._facts, self.baseline, self._rewritten)

    def _undo(self, residue: Residue, suspects: Suspects, pulse: Pulse) -> Settled:
        """Undo what the suspects came to, and count."""
        inside, facts = self._session, self._facts
        first = to_ask_first(suspects, facts)
        found = self._examine(first) if first else NOTHING_FOUND
        if found.structural or self._too_much(found):
            described = describe(residue, found, inside, self._pristine, self.baseline)
            self._undo_outside(found)
            return Settled(described, clean=False)
        if facts.blind and suspects.how == "asked" and pulse.moved:
            return Settled(replace(residue, doubt=facts.blind), clean=False)
        tables = [
            facts.tables[oid]
            for oid in sorted((suspects.tables - first.tables) | found.tables.keys())
        ]
        sequences = [
            facts.sequences[oid]
            for oid in sorted((suspects.sequences - first.sequences) | found.sequences.keys())
        ]
        if not tables and not sequences:
            return self._clean(residue, pulse)
        return self._clear(residue, tables, sequences, pulse)

    def _after_conflict(self, error: StatementFailed) -> str:
        """Make ready for another try after a deadlock, and tell of both sides; raise any other error."""
        if not is_conflict(error):
            raise error
        inside = self._session
        inside.run("ROLLBACK")
        seen = both_sides(inside.admin, error)
        self._on_conflict(seen)
        return seen

    def _undo_outside(self, found: Examination) -> None:
        """Undo what would not go with the database when it is replaced."""
        admin = self._session.admin
        if "pg_subscription" in found.catalogs:
            drop_subscriptions(admin)
        if found.role_settings:
            admin.execute(f"ALTER ROLE {ident(str(admin.value(_OWNER)))} RESET ALL")

    def _clean(self, residue: Residue, pulse: Pulse) -> Settled:
        """Take the look for a proof: nothing of it had to be undone.

        The position up to which WAL was read is later than the list of who was busy. Who began in between may have
        written before that position and may commit after it, so all of those count as running.
        """
        snapshot = pulse.snapshot
        if self._wal is not None:
            late = range(snapshot.xmax, prove(self._session, ()).snapshot.xmax)
            if len(late) > MOST_LATE:
                return Settled(residue, clean=False, look_again=True)
            snapshot = replace(snapshot, running=snapshot.running.union(late))
        return self._proven(residue, Baseline.at(pulse.lsn, snapshot))

    def _clear(
        self,
        residue: Residue,
        tables: list[TableFacts],
        sequences: list[SequenceFacts],
        pulse: Pulse,
    ) -> Settled:
        """Put rows and sequences back, and prove it."""
        inside = self._session
        done = undo(inside, tables, sequences, self.baseline)
        residue = residue.with_rows(done.tables(tables), done.sequences)
        proof, xids = done.proof, done.xids
        short = proof.short_of(tables)
        if short:
            if not refill(inside, short, self._pristine):
                return Settled(residue, clean=False)
            proof, xids = prove(inside, tables), xids + 1
        # Values of a sequence that a session has in its cache would go on from where the test left it.
        cached = pulse.others and any(found.cached for found in sequences)
        if cached or not proof.holds_for(tables):
            return Settled(residue, clean=False)
        if not window_is_quiet(pulse.snapshot, proof.snapshot, xids + self._flushes):
            return Settled(residue, clean=False, look_again=True)
        return self._proven(residue, proof.baseline)

    def _examine(self, suspects: Suspects) -> Examination:
        """Ask; where only files changed, their owners' rows are asked for as well, and the files remembered."""
        found = examine(self._session, self._facts, suspects, self.baseline)
        if not found.only_files:
            return found
        owners = rewritten(self._session, self._pristine, self.baseline)
        if owners is None:
            return found
        self._rewritten |= owners
        asked = examine(
            self._session, self._facts, of_owners(tuple(owners.values())), self.baseline
        )
        return found.with_rows_of(asked)

    def _too_much(self, found: Examination) -> bool:
        tables = self._facts.tables
        return any(
            tables[oid].hard or news > MOST_DELETED for oid, (_, news) in found.tables.items()
        )

    def _proven(self, residue: Residue, baseline: Baseline) -> Settled:
        self.baseline = baseline
        return Settled(residue, clean=True)
