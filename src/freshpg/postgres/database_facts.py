"""What is known of databases and of who uses them, and where the intent to make one is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from freshpg.postgres.mark import Mark


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One row of ``pg_database``, with the mark when it is a valid one of ours."""

    oid: int
    name: str
    allows_connections: bool
    is_template: bool
    connection_limit: int
    owner: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Session:
    """One backend connected to a database."""

    pid: int
    user: str
    application: str
    state: str
    query: str
    seconds: float

    def __str__(self) -> str:
        return f"pid {self.pid} {self.user} {self.application!r} {self.state} for {self.seconds:.1f} s: {self.query[:80]}"


class Intents(Protocol):
    """Where an intent is written before a database is made, so that a killed maker's database can be found."""

    def open(self, name: str, oid: int | None = None) -> None:
        """Write down that ``name`` is about to be made; without an oid the name itself must never be used twice."""

    def close(self, name: str) -> None:
        """Strike it out: the database is made and marked, or was never made."""

    def pending(self) -> Collection[str]:
        """Return the names written down and not struck out, those of dead makers included."""


class NoIntents:
    """For servers of ours, which end with everything on them."""

    def open(self, name: str, oid: int | None = None) -> None:
        """Do nothing."""

    def close(self, name: str) -> None:
        """Do nothing."""

    def pending(self) -> Collection[str]:
        """Return nothing."""
        return ()
