"""Things that can be left, and the difference between two looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal[
    "database",
    "role",
    "replication slot",
    "prepared transaction",
    "base directory",
    "process",
    "zombie",
    "socket",
    "file",
    "directory",
    "System V segment",
    "shared memory file",
    "descriptor",
    "connection",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing: what it is, a name that stays with it, and what helps to find whose it is."""

    kind: Kind
    name: str
    detail: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f": {self.detail}" if self.detail else "")

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {"kind": self.kind, "name": self.name, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All things at one moment."""

    things: frozenset[Leftover]

    @classmethod
    def of(cls, things: Iterable[Leftover]) -> Snapshot:
        """Return a snapshot of these things."""
        return cls(frozenset(things))

    def since(self, before: Snapshot) -> tuple[Leftover, ...]:
        """Return what came after ``before``, by kind and name."""
        new = self.things - before.things
        return tuple(sorted(new, key=lambda one: (KINDS.index(one.kind), one.name)))

    def __len__(self) -> int:
        return len(self.things)

    def __iter__(self) -> Iterator[Leftover]:
        return iter(self.things)
