"""What each level of isolation costs a test, without a test runner around it."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.bench.work import READING
from freshpg.core.errors import FreshpgError

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.bench.work import Work
    from freshpg.core.clock import Clock, Deadline
    from freshpg.handle import Database
    from freshpg.isolation.levels import Level
    from freshpg.manager import DatabaseManager

MOST_CYCLES = 2_000
WARM = 3
"""Cycles that are not counted, where there are more: the first ones learn what the others know."""

TEST = "freshpg bench"


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians, in seconds, of what a test has to wait for beside its own work.

    Attributes:
        name: The level, or what it is compared with.
        cycles: How many were measured; 0 where none could be.
        hand_out: Until there is a database that equals its template.
        work: One statement, with connecting where the level has no connection that outlives a test.
        give_back: Taking it back.
        quartiles: Of hand-out and give-back together.
        refused: Why the level cannot be had here.
    """

    name: str
    cycles: int = 0
    hand_out: float = 0.0
    work: float = 0.0
    give_back: float = 0.0
    quartiles: tuple[float, float] = (0.0, 0.0)
    refused: str = ""

    @property
    def per_test(self) -> float:
        """Hand-out and give-back."""
        return self.hand_out + self.give_back

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; seconds."""
        if not self.cycles:
            return {"name": self.name, "refused": self.refused}
        return {
            "name": self.name,
            "cycles": self.cycles,
            "hand_out": self.hand_out,
            "work": self.work,
            "give_back": self.give_back,
            "per_test": self.per_test,
            "quartiles": list(self.quartiles),
        }


class Application:
    """Does the work as an application would: through a connection of its own where that outlives a test."""

    def __init__(self, level: Level, work: Work) -> None:
        self._kept = level == "reset"
        self._statement = (READING if level == "readonly" else work).statement.encode()
        self._connection: psycopg.Connection[Any] | None = None

    def work(self, database: Database) -> None:
        """Run the statement."""
        if not self._kept:
            database.connect(autocommit=True).execute(self._statement)
            return
        if self._connection is None:
            self._connection = self._connect(database)
        try:
            self._connection.execute(self._statement)
        except psycopg.OperationalError:
            # A clone took the database's place, which ends its sessions.
            self.close()
            self._connection = self._connect(database)
            self._connection.execute(self._statement)

    @staticmethod
    def _connect(database: Database) -> psycopg.Connection[Any]:
        return psycopg.connect(database.url, autocommit=True, connect_timeout=10)

    def close(self) -> None:
        """Close a connection that was kept."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def measure_level(
    manager: DatabaseManager,
    blueprint: str,
    level: Level,
    work: Work,
    *,
    deadline: Deadline,
    clock: Clock,
) -> Figures:
    """Lease, work and give back until the deadline."""
    application = Application(level, work)

    def cycle() -> tuple[float, float, float]:
        began = clock.monotonic()
        database = manager.acquire(blueprint, isolation=level, test=TEST)
        handed_out = clock.monotonic()
        try:
            application.work(database)
        finally:
            worked = clock.monotonic()
            manager.release(database)
        return handed_out - began, worked - handed_out, clock.monotonic() - worked

    try:
        return _figures(level, cycle, deadline)
    except (FreshpgError, psycopg.Error) as error:
        seen = error.seen or str(error) if isinstance(error, FreshpgError) else str(error)
        return Figures(level, refused=seen.strip().splitlines()[0])
    finally:
        application.close()


def measure_plain(
    manager: DatabaseManager, blueprint: str, work: Work, deadline: Deadline, clock: Clock
) -> Figures:
    """Measure what no isolation at all would cost: BEGIN and ROLLBACK on one connection."""
    with ExitStack() as ends:
        database = ends.enter_context(manager.lease(blueprint, isolation="clone", test=TEST))
        connection = ends.enter_context(database.connect(autocommit=True))

        def cycle() -> tuple[float, float, float]:
            began = clock.monotonic()
            connection.execute("BEGIN")
            begun = clock.monotonic()
            connection.execute(work.statement.encode())
            worked = clock.monotonic()
            connection.execute("ROLLBACK")
            return begun - began, worked - begun, clock.monotonic() - worked

        return _figures("BEGIN and ROLLBACK", cycle, deadline)


def clones_a_second(
    manager: DatabaseManager, blueprint: str, deadline: Deadline, clock: Clock
) -> float:
    """Return how many clones are handed out and taken back in a second, as fast as they are made."""
    began = clock.monotonic()
    count = 0
    while not deadline.expired and count < MOST_CYCLES:
        with manager.lease(blueprint, isolation="clone", test=TEST):
            count += 1
    taken = clock.monotonic() - began
    return count / taken if taken > 0 else 0.0


def _figures(
    name: str, cycle: Callable[[], tuple[float, float, float]], deadline: Deadline
) -> Figures:
    found = [cycle()]
    while not deadline.expired and len(found) < MOST_CYCLES:
        found.append(cycle())
    counted = found[WARM:] or found[-1:]
    costs = [hand_out + give_back for hand_out, _, give_back in counted]
    lower, _, upper = (
        statistics.quantiles(costs, n=4, method="inclusive") if len(costs) > 1 else costs * 3
    )
    hand_out, work, give_back = (statistics.median(part) for part in zip(*counted, strict=True))
    return Figures(name, len(counted), hand_out, work, give_back, (lower, upper))
