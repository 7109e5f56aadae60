"""Proportional set size of servers and of the keeper."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.inside import running
from benchmarks.processes import children, is_session, pss, tree
from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground

NAME = "memory"
SESSIONS = 5


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    if not sys.platform.startswith("linux"):
        yield Row(
            NAME, "server and keeper", skipped="read from /proc/*/smaps_rollup, which Linux has"
        )
        return
    project = ground.project(schema(10 if quick else 100))
    found: dict[str, list[float]] = {"alone": [], "leased": [], "busy": [], "keeper": []}
    for _ in range(1 if quick else 3):
        with ground.manager(project, isolation="reset", linger="60") as manager:
            server = running(manager).handle.pid
            _wait_for_sessions(server, 1)
            found["leased"].append(tree(server))
        _wait_for_sessions(server, 0)
        found["alone"].append(tree(server))
        ground.end_servers()
        with ground.manager(project, isolation="clone") as manager:
            handle = running(manager).handle
            databases = [manager.acquire() for _ in range(2)]
            sessions = [
                psycopg.connect(**one.conninfo.keywords())
                for one in databases
                for _ in range(SESSIONS)
            ]
            for session in sessions:
                session.execute(
                    "INSERT INTO item_0 (name) SELECT 'x' FROM generate_series(1, 1000)"
                )
            found["busy"].append(tree(handle.pid))
            found["keeper"].append(pss(handle.keeper.pid))
            for session in sessions:
                session.close()
    words = {
        "alone": ("a server, idle", "nobody connected: kept warm for the next run"),
        "leased": ("a server, idle", "with the lease's connection"),
        "busy": ("a server, busy", f"{2 * SESSIONS} sessions that wrote, and the builders'"),
        "keeper": ("the keeper", "one server"),
    }
    for key, values in found.items():
        yield Row(NAME, *words[key], "MB", Sample.of(values))


def _wait_for_sessions(server: int, count: int) -> None:
    """Return when a server has that many sessions: each is a process, and they come and go in the background."""
    end = time.monotonic() + 20
    while sum(map(is_session, children(server))) != count:
        if time.monotonic() > end:
            raise RuntimeError(f"server {server} does not come to {count} sessions")
        time.sleep(0.01)
