"""What safety costs a checkout: one manager with and without what watches over it, taken in turn in one process."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from benchmarks.inside import without_safety
from benchmarks.other_server import other_server
from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved
from benchmarks.schema import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.ground import Ground
    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager

NAME = "safety"
MOST = 1.05
SUBJECT = "checkout: acquire() and release(), with all safety"
BLOCK = 5
"""Checkouts of one kind in a row; the first is not counted: caches change sides there."""
SAFE, BARE = "as it is", "bare"
INSERT = "INSERT INTO item_0 (name) VALUES ('x')"


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    tables, rounds = (10, 20) if quick else (100, 400)
    project = ground.project(schema(tables))
    with ground.manager(project) as manager:
        for level, body in (
            ("reset", "nothing"),
            ("reset", "one row"),
            ("rollback", "one row"),
            ("readonly", "nothing"),
        ):
            yield _row(manager, level, body, f"{tables} tables, own server", rounds)
    with (
        other_server(ground) as address,
        ground.manager(project, server=address.url(), allow_create=True) as manager,
    ):
        where = f"{tables} tables, another's server"
        yield _row(manager, "reset", "one row", where, rounds)


def _row(manager: DatabaseManager, level: str, body: str, where: str, rounds: int) -> Row:
    with _working(manager, level, body) as work:
        checkout = partial(_checkout, manager, level, work)
        ways: dict[str, Callable[[], AbstractContextManager[object]]] = {
            SAFE: nullcontext,
            BARE: partial(without_safety, manager),
        }
        timed = {name: partial(_block, way, checkout) for name, way in ways.items()}
        found = interleaved(timed, rounds)
    pairs = list(zip(found[SAFE], found[BARE], strict=True))
    ratio = Sample.of(safe / bare for safe, bare in pairs)
    apart = 1e6 * statistics.median(safe - bare for safe, bare in pairs)
    whole = 1e6 * statistics.median(found[SAFE])
    return Row(
        NAME, SUBJECT, f"{level}, {body} written, {where}", "x without", ratio,
        compared=f"{apart:.1f} us of {whole:.0f} us",
        target=f"<= {MOST} x", reached=ratio.median <= MOST,
    )  # fmt: skip


def _block(
    way: Callable[[], AbstractContextManager[object]], checkout: Callable[[], float]
) -> float:
    """Return the seconds of one checkout, the median of a block."""
    with way():
        checkout()
        return statistics.median(checkout() for _ in range(BLOCK - 1))


def _checkout(manager: DatabaseManager, level: str, work: Callable[[Database], object]) -> float:
    began = time.perf_counter()
    database = manager.acquire(isolation=level)
    taken = time.perf_counter() - began
    work(database)
    began = time.perf_counter()
    manager.release(database)
    return taken + time.perf_counter() - began


@contextmanager
def _working(
    manager: DatabaseManager, level: str, body: str
) -> Iterator[Callable[[Database], object]]:
    """Yield what a test does with its database."""
    if body == "nothing":
        yield lambda _database: None
    elif level == "rollback":
        yield lambda database: database.connect().execute(INSERT)
    else:
        with manager.lease(isolation=level) as first:
            url = first.url
        with psycopg.connect(url, autocommit=True) as application:
            yield lambda _database: application.execute(INSERT)
