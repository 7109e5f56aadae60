"""The interface all levels share."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from freshpg.core.errors import ServerDied, ServerUnreachable
from freshpg.leases.forks import abandon, disown_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.isolation.levels import Level
    from freshpg.isolation.residue import Residue
    from freshpg.postgres.databases import Databases

T = TypeVar("T")


class Isolation(Protocol):
    """Hands databases of one template to tests, one level's way. Safe to use from several threads."""

    level: Level

    def enter(self, test: str = "", *, deadline: float = 60.0) -> str:
        """Return the name of a database equal to its template, for ``test`` alone where the level lets it write."""

    def leave(self, name: str) -> Residue:
        """Take it back; what the next test needs done is done before it is handed out again."""

    def audit(self, name: str) -> Residue:
        """Return how it differs from its template; nothing is changed."""

    def prove(self, name: str) -> Residue:
        """Return the same by comparing every row and every definition; nothing is changed."""

    def reset(self, name: str, *, deadline: float = 60.0) -> Residue:
        """Make it equal to its template now, under the same name, for the test that has it."""

    def keep(self, name: str, failed_name: str, *, test: str = "", why: str = "") -> str:
        """Take it back and leave it for inspection as ``failed_name``, in the place of an older one of that name."""

    def close(self) -> None:
        """Let go of what the level itself holds; the stock is stopped by its owner."""


class Control:
    """One control connection, opened on first use and used by one thread at a time."""

    def __init__(self, connect: Callable[[], Databases]) -> None:
        self._connect = connect
        self._databases: Databases | None = None
        self._lock = threading.Lock()
        disown_in_children(self)

    @contextmanager
    def __call__(self) -> Iterator[Databases]:
        """Lend the connection; a broken one is replaced on the next call."""
        with self._lock:
            if self._databases is None or not self._databases.admin.alive:
                self._databases = self._connect()
            yield self._databases

    def do(self, act: Callable[[Databases], T]) -> T:
        """Carry out an act and return its result, once more through a new connection when the first was cut: a superuser's test may do that.

        Raises:
            ServerDied: It was cut again, or the server is gone.
        """
        try:
            with self() as databases:
                return act(databases)
        except ServerDied as cut:
            try:
                with self() as databases:
                    return act(databases)
            except ServerUnreachable:
                raise cut from None

    def close(self) -> None:
        """Close it; again is fine."""
        with self._lock:
            if self._databases is not None:
                self._databases.admin.close()
            self._databases = None

    def disown(self) -> None:
        """In a forked child: forget the connection, which stays the parent's."""
        self._lock = threading.Lock()
        if self._databases is not None:
            abandon(self._databases.admin)
        self._databases = None
