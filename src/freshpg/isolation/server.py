"""Level ``server``: a server of the test's own.

The manager starts and ends it; inside there is one database under its plain name, and nothing to protect it from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.isolation.acts import keep
from freshpg.isolation.base import Control
from freshpg.isolation.cloning import Cloner, CloneSource
from freshpg.isolation.residue import Residue

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.isolation.levels import Level
    from freshpg.postgres.databases import Databases


class ServerIsolation:
    """Hands out the one database of a server that ends with the test."""

    level: Level = "server"

    def __init__(
        self, connect: Callable[[], Databases], source: CloneSource, *, is_there: bool = False
    ) -> None:
        self._source = source
        self._is_there = is_there
        self._control = Control(connect)

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:  # noqa: ARG002 (nobody to wait for)
        """Return the clone that the image brought, once; make one under the plain name otherwise."""
        is_there, self._is_there = self._is_there, False
        if not is_there:
            with self._control() as databases:
                databases.drop(self._source.base)
                Cloner(databases, self._source).make(self._source.base)
        return self._source.base

    def leave(self, name: str) -> Residue:
        """Do nothing: the server goes, and all on it."""
        return Residue(name, replaced=True)

    def audit(self, name: str) -> Residue:
        """Return that nothing was compared: this level has nothing to compare with."""
        return Residue(name)

    def prove(self, name: str) -> Residue:
        """Return that nothing was compared, as :meth:`audit` does."""
        return Residue(name)

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Drop it and clone it again; roles and settings of the server stay as the test left them."""
        with self._control() as databases:
            databases.drop(name, deadline=deadline)
            Cloner(databases, self._source).make(name)
        return Residue(name, replaced=True)

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Leave it as ``failed_name``; whoever owns the server must keep that too."""
        with self._control() as databases:
            keep(databases, self._source, name, failed_name, test=test, why=why)
        return failed_name

    def close(self) -> None:
        """Close the control connection."""
        self._control.close()
