"""Level ``rollback``: one connection, one transaction, rolled back when the test ends.

The databases are those of level ``reset``, which is asked whenever the rollback is not proven to be all there is to
undo: another session was there, the outer transaction was ended, the connection broke.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from freshpg.isolation.residue import Residue, SequenceResidue
from freshpg.isolation.rollback.session import RollbackSession
from freshpg.isolation.rollback.single import SingleConnection
from freshpg.leases.forks import disown_in_children
from freshpg.postgres.admin import connect_error

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.levels import Level
    from freshpg.isolation.reset import ResetIsolation
    from freshpg.isolation.rollback.ending import Ending

HOW = "rollback"


class RollbackIsolation:
    """Hands out databases with a session inside an outer transaction; a session is kept as long as its database is ours.

    Args:
        beneath: The level that has the databases.
        tests: The address of the test's role; the database is still to be chosen.
        control: The role of our own sessions.
    """

    level: Level = "rollback"

    def __init__(self, beneath: ResetIsolation, tests: Conninfo, control: str) -> None:
        self._beneath = beneath
        self._tests = tests
        self._control = control
        self._lock = threading.Lock()
        self._free: list[str] = []
        self._sessions: dict[str, RollbackSession] = {}
        self._singles: dict[str, SingleConnection] = {}
        self._owner_pid = os.getpid()
        disown_in_children(self)

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:
        """Return the name of a database equal to its template, with the outer transaction begun in it."""
        with self._lock:
            name = self._free.pop(0) if self._free else None
        if name is None:
            name = self._beneath.enter(test, deadline=deadline)
        try:
            session = self._begin(name, deadline)
        except BaseException:
            self._let_go(name)
            raise
        self._singles[name] = SingleConnection(session, self._tests.with_(dbname=name), test)
        return name

    def single(self, name: str) -> SingleConnection:
        """Return the one connection of the test that has the database."""
        return self._singles[name]

    def leave(self, name: str) -> Residue:
        """Take it back, rolled back and proven equal to its template.

        Raises:
            ConstraintBroken: A deferred constraint does not hold; the database is clean all the same.
            OuterTransactionEnded: The test ended the outer transaction; the database is clean all the same.
        """
        try:
            ending = self._singles.pop(name).end()
            residue = self._settle(name, ending)
        except BaseException:
            self._let_go(name)
            raise
        with self._lock:
            self._free.append(name)
            self._free.sort(key=lambda free: (len(free), free))
        if ending.problem is not None:
            raise ending.problem
        return residue

    def audit(self, name: str) -> Residue:
        """Return how it differs from its template for others: the test's own work is not committed."""
        return self._beneath.audit(name)

    def prove(self, name: str) -> Residue:
        """Return the same by the deep comparison."""
        return self._beneath.prove(name)

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Roll back what was done so far and begin again."""
        single = self._singles[name]
        residue = self._settle(name, single.roll_back(check=False))
        single.resume(self._begin(name, deadline))
        return residue

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Refuse to roll back for once: what the test did is committed and left for inspection."""
        self._end_single(name, commit=True)
        self._forget(name)
        return self._beneath.keep(name, failed_name, test=test, why=why)

    def close(self) -> None:
        """End the sessions and let the level beneath go."""
        with self._lock:
            free, self._free = self._free, []
        for name in free:
            self._let_go(name)
        for name in tuple(self._sessions):
            self._forget(name)
        self._beneath.close()

    def disown(self) -> None:
        """In a forked child: the sessions stay the parent's."""
        self._lock = threading.Lock()
        for session in self._sessions.values():
            session.abandon()
        self._sessions, self._singles, self._free = {}, {}, []

    def _begin(self, name: str, deadline: float) -> RollbackSession:
        session = self._sessions.get(name)
        untouched = False
        if session is not None:
            try:
                untouched = session.begin()
            except psycopg.Error:
                session.close()
        if session is None or not untouched:
            return self._begin_anew(name, session, deadline)
        return session

    def _begin_anew(
        self, name: str, session: RollbackSession | None, deadline: float
    ) -> RollbackSession:
        """Begin after the level beneath has said that the database equals its template."""
        if session is not None:
            # Somebody was there between two tests, or cut the connection.
            session.end(check=False)
            session.forget()
            self._beneath.reset(name, deadline=deadline)
        if session is None or not session.settled():
            session = self._open(name)
        session.begin()
        return session

    def _open(self, name: str) -> RollbackSession:
        address = self._tests.with_(dbname=name)
        try:
            session = RollbackSession(address, self._control)
        except psycopg.Error as error:
            raise connect_error(error, address) from error
        try:
            self._beneath.require_inside(session.admin, name)
        except BaseException:
            session.close()
            raise
        self._sessions[name] = session
        return session

    def _settle(self, name: str, ending: Ending) -> Residue:
        """Return what was left; where a rollback is not proven to be all, the level beneath undoes the rest."""
        if not ending.doubt:
            moved = tuple(SequenceResidue(sequence, None, None) for sequence in ending.moved)
            return Residue(name, audited=True, how=HOW, sequences=moved)
        session = self._sessions.get(name)
        if session is not None:
            session.forget()
        residue = self._beneath.reset(name)
        return replace(residue, doubt=residue.doubt or ending.doubt)

    def _end_single(self, name: str, *, commit: bool) -> None:
        single = self._singles.pop(name, None)
        session = self._sessions.get(name)
        if single is not None and session is not None:
            if commit:
                session.commit_for_inspection()
            single.end(check=False)

    def _let_go(self, name: str) -> None:
        """Give a database back to the level beneath."""
        self._end_single(name, commit=False)
        self._forget(name)
        self._beneath.leave(name)

    def _forget(self, name: str) -> None:
        session = self._sessions.pop(name, None)
        if session is not None:
            session.close()
