"""Databases that are out: what each is on, what can be done with it, and what became of it when its server died."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from freshpg.core.errors import FreshpgError, LeaseClosed
from freshpg.handle import raise_all
from freshpg.isolation.residue import Residue
from freshpg.keeping import Keeping
from freshpg.kept import KeptList
from freshpg.servers.shortage import shortages_named
from freshpg.supervision.endings import DYING_SECONDS
from freshpg.supervision.failures import ends_a_connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.events import Bus
    from freshpg.handle import Database
    from freshpg.lending import Grant
    from freshpg.postgres.schema.truncation import TruncatePlan
    from freshpg.upkeep import Upkeep


class Outstanding:
    """The part of a manager that the databases it handed out go back to with whatever they are asked.

    Args:
        state: Where the project's own state lies.
        keep: Databases that are kept for inspection at most.
        events: Where to tell what happens.
        clock: Tells the time.
    """

    def __init__(self, *, state: Path, keep: int, events: Bus, clock: Clock) -> None:
        self._lock = threading.RLock()
        self._grants: dict[Database, Grant] = {}
        self._losses: weakref.WeakKeyDictionary[Database, FreshpgError] = (
            weakref.WeakKeyDictionary()
        )
        self._keeping = Keeping(KeptList(state, limit=keep), events, clock)

    def lease(
        self, blueprint: str = "main", *, isolation: str | None = None, test: str = ""
    ) -> AbstractContextManager[Database]:
        """Lend a database for a ``with`` block."""
        raise NotImplementedError

    def release(self, database: Database) -> Residue:
        """Take a database back and return what is known of what was left in it by now; again is fine.

        Isolation ``rollback`` looks at once, so that its residue tells what somebody committed all the same. Other
        levels look before the next test; theirs is not ``audited``.

        Raises:
            ServerDied: Its server went away while it was out; whatever the test saw since was not its own doing.
            LeaseLost: The lease on somebody else's server ended meanwhile; others may have used the database.
        """
        with self._lock:
            grant = self._grants.pop(database, None)
        problems = database.close()
        residue = Residue(database.name)
        if grant is None:
            raise_all(problems)
            return residue
        try:
            with shortages_named("a database was to be taken back"):
                residue = self._take_back(database, grant)
        except Exception as error:  # noqa: BLE001 (raised with the others)
            problems.append(error)
        lost = self._losses.get(database) if grant.holding.is_lost else None
        # Whatever else failed then is a consequence.
        raise_all([lost] if lost is not None else problems)
        return residue

    def lost(self, database: Database, *, within: float = 0.0) -> FreshpgError | None:
        """Return what became of a database's server or lease while it was out: ``ServerDied``, ``LeaseLost``, or None.

        It looks now, without asking the server, and knows it still when the database was given back. Whoever saw a
        connection end waits up to ``within`` seconds: the end of the server may be told a moment later.
        """
        with self._lock:
            grant = self._grants.get(database)
        if grant is not None:
            self._note_loss(database, grant, within=within)
        return self._losses.get(database)

    def lost_under(
        self, error: BaseException, databases: Iterable[Database]
    ) -> FreshpgError | None:
        """Return why one of these databases is not there any more, to whoever had them and met an error."""
        within = DYING_SECONDS if ends_a_connection(error) else 0.0
        return next(filter(None, (self._look_for(one, within) for one in databases)), None)

    def audit_database(self, database: Database) -> Residue:
        """Compare a database that is out with its template; called by :meth:`Database.audit`."""
        return self._grant(database).level.audit(database.name)

    def prove_database(self, database: Database) -> Residue:
        """Compare a database that is out with its template, whole; called by :meth:`Database.prove`."""
        return self._grant(database).level.prove(database.name)

    def reset_database(self, database: Database) -> Residue:
        """Make a database that is out equal to its template; called by :meth:`Database.reset`."""
        return self._grant(database).level.reset(database.name)

    def keep_database(self, database: Database, why: str) -> str:
        """Reserve the name a database will be kept under when it is released; called by :meth:`Database.keep`."""
        grant = self._grant(database)
        grant.keep_as = self._keeping.reserve(
            grant.holding.running,
            base=grant.arena.blueprint.database,
            user=grant.tests.user,
            test=database.test,
            why=why,
        )
        return grant.keep_as.name

    def reset_sequences_of(
        self, database: Database, *, to: Literal["template", "one"]
    ) -> tuple[str, ...]:
        """Put sequences of a database that is out back; called by :meth:`Database.reset_sequences`."""
        running = self._grant(database).holding.running
        address = running.coordination.with_(dbname=database.name)
        return self._upkeep.reset_sequences(database, address, own=running.own, to=to)

    def truncate_tables_of(
        self,
        database: Database,
        tables: tuple[str, ...],
        *,
        restore_seed: bool,
        dry_run: bool,
        deadline: float,
    ) -> TruncatePlan:
        """Empty tables of a database that is out; called by :meth:`Database.truncate`."""
        running = self._grant(database).holding.running
        return self._upkeep.truncate(
            database,
            running.coordination.with_(dbname=database.name),
            tables,
            own=running.own,
            restore_seed=restore_seed,
            dry_run=dry_run,
            deadline=deadline,
        )

    @cached_property
    def _upkeep(self) -> Upkeep:
        # Late: what few tests use is not loaded for all.
        from freshpg.upkeep import Upkeep

        return Upkeep(self._fresh_clone)

    @contextmanager
    def _fresh_clone(self, blueprint: str) -> Iterator[Conninfo]:
        """Lend a clone nobody has used, by the address of the control role."""
        with self.lease(blueprint, isolation="clone", test="to compare with") as lent:
            running = self._grant(lent).holding.running
            yield running.coordination.with_(dbname=lent.name)

    def _look_for(self, database: Database, within: float) -> FreshpgError | None:
        with self._lock:
            grant = self._grants.get(database)
        if grant is not None:
            grant.holding.end_if_gutted()
        return self.lost(database, within=within)

    def _enter(self, database: Database, grant: Grant) -> None:
        with self._lock:
            self._grants[database] = grant

    def _release_all(self) -> None:
        for database in tuple(self._grants):
            with suppress(FreshpgError):
                self.release(database)

    def _forget_all(self) -> None:
        with self._lock:
            self._grants = {}

    def _take_back(self, database: Database, grant: Grant) -> Residue:
        try:
            if self._note_loss(database, grant):
                return Residue(database.name)
            kept = grant.keep_as
            if kept is None:
                return grant.level.leave(database.name)
            keep = partial(grant.level.keep, database.name, kept.name, test=kept.test, why=kept.why)
            self._keeping.carry_out(kept, keep)
            grant.holding.has_kept = True
            return Residue(database.name)
        except FreshpgError:
            self._note_loss(database, grant)
            raise
        finally:
            if grant.is_private:
                grant.holding.end(linger=0)

    def _note_loss(self, database: Database, grant: Grant, *, within: float = 0.0) -> bool:
        error = grant.loss(within=within)
        if error is None:
            return False
        self._losses.setdefault(database, error)
        return True

    def _grant(self, database: Database) -> Grant:
        with self._lock:
            grant = self._grants.get(database)
        if grant is None:
            raise LeaseClosed(
                "a database was used after its lease had ended",
                on=repr(database),
                todo=("use it inside its lease only",),
            )
        grant.require_there()
        return grant
