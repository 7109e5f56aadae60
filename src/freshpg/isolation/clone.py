"""Level ``clone``: every test gets a clone nobody has used; the slots are the stock."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from freshpg.isolation import acts
from freshpg.isolation.base import Control
from freshpg.isolation.residue import Residue

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.isolation.audit.watch import Watch
    from freshpg.isolation.levels import Level
    from freshpg.isolation.stock import CloneStock
    from freshpg.postgres.databases import Databases


class CloneIsolation:
    """Hands out clones from the stock and gives them back to be dropped and made again in the background."""

    level: Level = "clone"

    def __init__(self, connect: Callable[[], Databases], stock: CloneStock, watch: Watch) -> None:
        self._stock = stock
        self._watch = watch
        self._control = Control(connect)

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:
        """Return the name of an unused clone; without waiting when one stands ready."""
        taken = self._stock.take(deadline, test)
        if not self._watch.own:
            self._require_same(taken.name, taken.baseline.database)
        self._watch.begin(taken.name, taken.baseline)
        return taken.name

    def leave(self, name: str) -> Residue:
        """Give it back; nothing is waited for."""
        self._watch.end(name)
        self._stock.give_back(name)
        return Residue(name, replaced=True)

    def audit(self, name: str) -> Residue:
        """Return how it differs from its template; nothing is changed."""
        return self._watch.audit(name)

    def prove(self, name: str) -> Residue:
        """Return how it differs from its template, every row and every definition compared; nothing is changed."""
        return self._watch.prove(name)

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Put a fresh clone in its place, under the same name; its sessions are ended."""
        self._watch.end(name)
        baseline = self._control.do(
            partial(acts.replace, stock=self._stock, name=name, deadline=deadline)
        )
        self._watch.begin(name, baseline)
        return Residue(name, replaced=True)

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Leave it as ``failed_name``; the slot gets a new clone."""
        self._watch.end(name)
        with self._control() as databases:
            oid = self._stock.oid_of(name)
            source = self._stock.source
            acts.keep(databases, source, name, failed_name, test=test, why=why, oid=oid)
        self._stock.give_back(name, remains=())
        return failed_name

    def _require_same(self, name: str, oid: int) -> None:
        """Require a clone that stood ready to be under its name still: others may rename databases, too."""
        try:
            self._control.do(lambda databases: databases.find_ours(name, oid))
        except BaseException:
            self._stock.give_back(name)
            raise

    def close(self) -> None:
        """Close the connections."""
        self._watch.end()
        self._control.close()
