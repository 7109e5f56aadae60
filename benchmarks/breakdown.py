"""Where the time of a reset goes: its parts, in the order in which they happen between two tests."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg

from benchmarks.inside import parts_of_resets
from benchmarks.rows import Row
from benchmarks.sampling import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.ground import Ground
    from benchmarks.inside import Parts
    from freshpg.manager import DatabaseManager

WARM = 10
HAND_OUT = "hand-out: all of acquire()"
GIVE_BACK = "give-back: all of release()"
REST = "of the hand-out: the rest (lease's note, handle, event)"


def run(ground: Ground, name: str, project: Path, tables: int, *, cycles: int) -> Iterator[Row]:
    """Yield the parts for tests that write to no, one, five and fifty tables."""
    bodies = {"nothing written": 0, "one row": 1, "five tables": 5, "fifty tables": 50}
    with ground.manager(project, isolation="reset") as manager, parts_of_resets() as parts:
        for words, count in bodies.items():
            if count > tables:
                continue
            found, asked = _parts(manager, parts, count, cycles)
            condition = f"reset, {words}, {tables} tables"
            for part, values in found.items():
                yield Row(name, part, condition, "us", Sample.of(1e6 * one for one in values))
            yield Row(name, "questions to the server", condition, "round trips", Sample.of(asked))


def _parts(
    manager: DatabaseManager, parts: Parts, count: int, cycles: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return seconds by part of every cycle, and how often the server was asked."""
    work = (
        ";".join(f"INSERT INTO item_{number} (name) VALUES ('x')" for number in range(1, count + 1))
        if count < 50
        else ";".join(f"INSERT INTO item_{number} (name) VALUES ('x')" for number in range(count))
    )
    found: dict[str, list[float]] = defaultdict(list)
    asked: list[float] = []
    first = manager.acquire()
    with psycopg.connect(first.url, autocommit=True) as application:
        manager.release(first)
        for cycle in range(cycles + WARM):
            parts.take()
            began = time.perf_counter()
            database = manager.acquire()
            handed_out = time.perf_counter()
            if work:
                application.execute(work.encode())
            worked = time.perf_counter()
            manager.release(database)
            ended = time.perf_counter()
            if cycle < WARM:
                continue
            seconds, questions = parts.take()
            asked.append(questions)
            found[GIVE_BACK].append(ended - worked)
            found[HAND_OUT].append(handed_out - began)
            inner = {part: taken for part, taken in seconds.items() if part != "pulse: sent"}
            for part, taken in seconds.items():
                found[
                    f"of the {'give-back' if part == 'pulse: sent' else 'hand-out'}: {part}"
                ].append(taken)
            found[REST].append(handed_out - began - sum(inner.values()))
    return found, asked
