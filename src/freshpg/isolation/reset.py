"""Level ``reset``: the name and the URL stay valid across tests, and so do the application's open connections.

A used database is compared with its template and what was left is undone in place. Where that cannot be proven, a
clone from the stock takes its place under the same name, which ends the sessions that are still open in it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.isolation import acts
from freshpg.isolation.base import Control
from freshpg.isolation.residue import Residue
from freshpg.postgres.strangers import require_proven, require_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.isolation.audit.watch import Watch
    from freshpg.isolation.levels import Level
    from freshpg.isolation.stock import CloneStock
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.databases import Databases

_HERE = """
SELECT d.oid, pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""


class ResetIsolation:
    """Hands out the same database again and again; a second one only while the first is still in use."""

    level: Level = "reset"

    def __init__(self, connect: Callable[[], Databases], stock: CloneStock, watch: Watch) -> None:
        self._stock = stock
        self._watch = watch
        self._control = Control(connect)
        self._lock = threading.Lock()
        self._free: list[str] = []

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:
        """Return the name of the test before, proven to equal its template; the first time a fresh clone's."""
        with self._lock:
            name = self._free.pop(0) if self._free else None
        if name is None:
            taken = self._stock.take(deadline, test)
            if not self._watch.own:
                self._require_same(taken.name, taken.baseline.database)
            self._watch.begin(taken.name, taken.baseline)
            return taken.name
        try:
            self.reset(name, deadline=deadline)
        except BaseException:
            self._return(name)
            raise
        return name

    def leave(self, name: str) -> Residue:
        """Take it back. What the test left is asked for at once, and undone when the next test wants the database."""
        # An answer that cannot be asked for now is asked for again then.
        with suppress(FreshpgError):
            self._watch.begin_look(name)
        self._return(name)
        return Residue(name)

    def audit(self, name: str) -> Residue:
        """Return how it differs from its template; nothing is changed."""
        return self._watch.audit(name)

    def prove(self, name: str) -> Residue:
        """Return how it differs from its template, every row and every definition compared; nothing is changed."""
        return self._watch.prove(name)

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Make it equal to its template: in place where that can be proven, else by a fresh clone under its name."""
        try:
            settled = self._watch.settle(name)
        except FreshpgError as error:
            # Dropped, renamed, closed to connections, or its server gone: the last is found out by replacing it.
            self._replace(name, deadline)
            return Residue(name, replaced=True, audited=True, doubt=error.seen or str(error))
        if settled.clean:
            return settled.residue
        self._replace(name, deadline)
        return replace(settled.residue, replaced=True)

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Leave it as ``failed_name``; the slot goes back to the stock."""
        self._watch.end(name)
        with self._control() as databases:
            oid = self._stock.oid_of(name)
            source = self._stock.source
            acts.keep(databases, source, name, failed_name, test=test, why=why, oid=oid)
        self._stock.give_back(name, remains=())
        return failed_name

    def close(self) -> None:
        """Give the databases back to the stock and close the connections."""
        with self._lock:
            free, self._free = self._free, []
        self._watch.end()
        for name in free:
            self._stock.give_back(name)
        self._control.close()

    def require_inside(self, session: Admin, name: str) -> None:
        """Require a session, opened by name, to be in the very database that was handed out under that name.

        Raises:
            NotOurs: Another one has the name; on a server of our own that is not asked.
        """
        if not self._watch.own:
            oid, comment = session.one(_HERE) or (0, None)
            require_proven(session, oid, comment)
            require_same(session, oid, self._stock.oid_of(name))

    def _require_same(self, name: str, oid: int) -> None:
        """Require a clone that stood ready to be under its name still: others may rename databases, too."""
        try:
            self._control.do(lambda databases: databases.find_ours(name, oid))
        except BaseException:
            self._stock.give_back(name)
            raise

    def _return(self, name: str) -> None:
        with self._lock:
            self._free.append(name)
            # The lowest slot first, so that a suite without nesting always sees one name.
            self._free.sort(key=lambda free: self._stock.slots[free])

    def _replace(self, name: str, deadline: float) -> None:
        self._watch.end(name)
        baseline = self._control.do(
            partial(acts.replace, stock=self._stock, name=name, deadline=deadline)
        )
        self._watch.begin(name, baseline)
