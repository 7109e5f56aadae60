"""How long a run stands still when its postmaster is killed: from the kill to the first query on the next database."""

from __future__ import annotations

import os
import signal
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmarks.inside import running
from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.schema import schema
from freshpg.core.errors import FreshpgError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.ground import Ground
    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager

NAME = "recovery"
MOST = 2000.0
KILLS = 2
"""Kills of one manager's servers: the third within thirty seconds is its last."""
SUBJECT = "postmaster killed: until the next checkout answers"


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    tables, samples = (10, 4) if quick else (100, 200)
    project = ground.project(schema(tables))
    for words, is_out in (
        ("while a test has its database", True),
        ("between two tests", False),
    ):
        taken = [
            found
            for _ in range(samples // KILLS)
            for found in _recoveries(ground, project, is_out=is_out)
        ]
        yield _row(f"{words}, {tables} tables", Sample.of(taken))


def _row(condition: str, sample: Sample) -> Row:
    late = statistics.quantiles(sample.values, n=100, method="inclusive")[98]
    return Row(
        NAME, SUBJECT, condition, sample=sample,
        compared=f"p99 {late:.0f} ms, worst {sample.values[-1]:.0f} ms",
        target=f"<= {MOST:.0f} ms at p99", reached=late <= MOST,
    )  # fmt: skip


def _recoveries(ground: Ground, project: Path, *, is_out: bool) -> Iterator[float]:
    """Yield milliseconds of each recovery in the life of one manager."""
    with ground.manager(project) as manager:
        for _ in range(KILLS):
            yield _recovery(manager, is_out=is_out)


def _recovery(manager: DatabaseManager, *, is_out: bool) -> float:
    database = manager.acquire()
    database.connect().execute("SELECT FROM item_0")
    if not is_out:
        manager.release(database)
    handle = running(manager).handle
    assert handle is not None
    began = time.perf_counter()
    os.kill(handle.pid, signal.SIGKILL)
    if is_out:
        _release_lost(manager, database)
    with manager.lease() as following:
        following.connect().execute("SELECT FROM item_0")
        return 1000 * (time.perf_counter() - began)


def _release_lost(manager: DatabaseManager, database: Database) -> None:
    # Its end may not have been told yet; then the next checkout finds it out.
    with suppress(FreshpgError):
        manager.release(database)
