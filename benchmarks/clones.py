"""Hand-out of ready clones against a bare connect, and how many clones a second against the raw server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.inside import is_full, stocks
from benchmarks.rows import Row
from benchmarks.sampling import Sample, interleaved, seconds
from benchmarks.schema import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.ground import Ground
    from freshpg.core.conninfo import Conninfo
    from freshpg.manager import DatabaseManager

NAME = "clones"


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    for tables in (10,) if quick else (10, 100):
        project = ground.project(schema(tables))
        yield from _hand_out(ground, project, tables, 6 if quick else 60)
        for callers in (1,) if quick else (1, 2, 4):
            yield from _throughput(ground, project, tables, callers, quick=quick)


def _hand_out(ground: Ground, project: Path, tables: int, rounds: int) -> Iterator[Row]:
    with ground.manager(project, isolation="clone") as manager:
        bare = manager.acquire()
        found = interleaved(
            {
                "bare connect": lambda: seconds(lambda: _query(bare.conninfo)),
                "hand-out": lambda: _stocked(manager, query=False),
                "hand-out to the first query": lambda: _stocked(manager, query=True),
                "reset: hand-out": lambda: _stocked(manager, query=False, level="reset"),
            },
            rounds,
        )
        manager.release(bare)
    connect = Sample.of(1000 * value for value in found["bare connect"])
    yield Row(NAME, "bare connect and SELECT 1", f"{tables} tables", sample=connect)
    for name in list(found)[1:]:
        sample = Sample.of(1000 * value for value in found[name])
        target = name == "hand-out to the first query"
        yield Row(
            NAME, name, f"{tables} tables, stock full", sample=sample,
            compared=f"{sample.median / connect.median:.2f} x a bare connect",
            target="<= 2 x a bare connect" if target else "",
            reached=sample.median <= 2 * connect.median if target else None,
        )  # fmt: skip


def _stocked(manager: DatabaseManager, *, query: bool, level: str = "clone") -> float:
    _wait_until_full(manager)
    began = time.perf_counter()
    database = manager.acquire(isolation=level)
    if query:
        _query(database.conninfo)
    taken = time.perf_counter() - began
    manager.release(database)
    return taken


def _wait_until_full(manager: DatabaseManager, *, settle: float = 0.005) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if all(map(is_full, stocks(manager))):
            time.sleep(settle)
            return
        time.sleep(0.001)


def _query(conninfo: Conninfo) -> None:
    with psycopg.connect(**conninfo.keywords()) as connection:
        connection.execute("SELECT 1").fetchone()


def _throughput(
    ground: Ground, project: Path, tables: int, callers: int, *, quick: bool
) -> Iterator[Row]:
    count, rounds = (8, 2) if quick else (48, 7)
    with (
        ground.manager(project, isolation="clone") as manager,
        ground.raw_server(project) as address,
    ):
        manager.release(manager.acquire())
        template = template_of(address)
        found = interleaved(
            {
                "raw": lambda: (
                    count / seconds(lambda: _at_once(callers, count, _raw(address, template)))
                ),
                "freshpg": lambda: (
                    count / seconds(lambda: _from_full_to_full(manager, callers, count))
                ),
            },
            rounds,
        )
    raw, ours = Sample.of(found["raw"]), Sample.of(found["freshpg"])
    condition = f"{tables} tables, {callers} caller{'s' * (callers > 1)}"
    yield Row(NAME, "raw server: create and drop, FILE_COPY", condition, "a second", raw)
    yield Row(
        NAME, "freshpg: acquire and release, level clone", condition, "a second", ours,
        f"{ours.median / raw.median:.2f} x raw", ">= 0.9 x raw", ours.median >= 0.9 * raw.median,
    )  # fmt: skip


def _from_full_to_full(manager: DatabaseManager, callers: int, count: int) -> None:
    """Use as many clones as are made meanwhile: what stood ready before stands ready again."""
    _at_once(callers, count, _leases(manager))
    _wait_until_full(manager, settle=0.0)


def _at_once(callers: int, count: int, work: Callable[[int], Callable[[], None]]) -> None:
    acts = [work(number) for number in range(callers)]
    threads = [threading.Thread(target=_repeat, args=(act, count // callers)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(act: Callable[[], None], count: int) -> None:
    for _ in range(count):
        act()


def _raw(address: Conninfo, template: str) -> Callable[[int], Callable[[], None]]:
    def caller(number: int) -> Callable[[], None]:
        admin = psycopg.connect(**address.keywords(), autocommit=True)

        def act() -> None:
            admin.execute(f"CREATE DATABASE raw_{number} TEMPLATE {template} STRATEGY FILE_COPY")
            admin.execute(f"DROP DATABASE raw_{number}")

        return act

    return caller


def _leases(manager: DatabaseManager) -> Callable[[int], Callable[[], None]]:
    def caller(_: int) -> Callable[[], None]:
        return lambda: manager.release(manager.acquire())

    return caller


def template_of(address: Conninfo) -> str:
    """Return the quoted name of the template on a server of this benchmark's."""
    with psycopg.connect(**address.keywords()) as admin:
        row = admin.execute(
            "SELECT quote_ident(datname) FROM pg_database WHERE datname LIKE 'bench_test_template_%'"
        ).fetchone()
    assert row is not None
    return str(row[0])
