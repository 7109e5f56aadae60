"""Which slot of a stock is in which state, and what is to be done next. Pure; its owner holds a lock around it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

State = Literal["empty", "used", "busy", "ready", "taken", "lost"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a builder does with one slot: drop these databases, then perhaps clone the slot's database."""

    name: str
    drop: tuple[str, ...]
    build: bool
    waited_for: bool


@dataclass(slots=True)
class Ledger:
    """States of all slots of one stock.

    ``target`` is how many clones should stand ready; every waiting taker asks for one more.
    """

    names: Sequence[str]
    target: int
    waiting: int = 0
    states: dict[str, State] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    _remains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _ready: deque[str] = field(default_factory=deque)
    _wanted_builds: dict[str, bool] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states = dict.fromkeys(self.names, "empty")

    def count(self, state: State) -> int:
        """Return how many slots are in a state."""
        return sum(found == state for found in self.states.values())

    def in_state(self, *states: State) -> list[str]:
        """Return the slots in any of these states, in order."""
        return [name for name in self.names if self.states[name] in states]

    def next_job(self) -> Job | None:
        """Claim the most urgent work, or ``None`` when there is none."""
        waited_for = self.waiting > self.count("ready")
        wanted = self.count("ready") + self._building() < self.target + self.waiting
        name = (
            self._first("empty", "used") if wanted and waited_for else self._first("used", "empty")
        )
        if name is None or (self.states[name] == "empty" and not wanted):
            return None
        self.states[name] = "busy"
        self._wanted_builds[name] = wanted
        return Job(name, self._remains.pop(name, ()), wanted, waited_for)

    def take(self, holder: str) -> str | None:
        """Hand out the clone that has been ready longest, or ``None``."""
        if not self._ready:
            return None
        name = self._ready.popleft()
        self.states[name] = "taken"
        self.holders[name] = holder
        return name

    def ready(self, name: str) -> None:
        """Enter a fresh clone."""
        self._wanted_builds.pop(name, None)
        self._failures.pop(name, None)
        self.states[name] = "ready"
        self._ready.append(name)

    def used(self, name: str, remains: Iterable[str]) -> None:
        """Enter that a slot's databases ``remains`` are to be dropped before it can be cloned again."""
        self._leave(name)
        self._remains[name] = tuple(remains)
        self.states[name] = "used"

    def failed(self, name: str, remains: Iterable[str]) -> None:
        """Enter that work on a slot failed: as :meth:`used`, but the other slots are tried before it."""
        self.used(name, remains)
        self._failures[name] = self._failures.get(name, 0) + 1

    def empty(self, name: str) -> None:
        """Enter that a slot has no database."""
        self._leave(name)
        self.states[name] = "empty"

    def lose(self, name: str) -> None:
        """Enter that a slot's name is held by a database that is not ours."""
        self._leave(name)
        self.states[name] = "lost"

    def remains(self, name: str) -> tuple[str, ...]:
        """Return the databases to drop for a used slot."""
        return self._remains.get(name, ())

    def databases_besides(self, left: Collection[str]) -> list[str]:
        """Return the databases of all slots but these."""
        return [
            old
            for name in self.in_state("ready", "used", "taken")
            if name not in left
            for old in (self.remains(name) or (name,))
        ]

    def occupants(self) -> list[str]:
        """Say who has the slots that are taken or being worked on, a line each."""
        lines = [
            f"{name}: held by {self.holders.get(name) or 'a test'}"
            for name in self.in_state("taken")
        ]
        return [*lines, *(f"{name}: being made" for name in self.in_state("busy"))]

    def _building(self) -> int:
        return sum(self._wanted_builds.values())

    def _first(self, *states: State) -> str | None:
        for state in states:
            found = self.in_state(state)
            if found:
                return min(found, key=lambda name: self._failures.get(name, 0))
        return None

    def _leave(self, name: str) -> None:
        self._wanted_builds.pop(name, None)
        self.holders.pop(name, None)
        if name in self._ready:
            self._ready.remove(name)
