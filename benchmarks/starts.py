"""How long until the first query: very first, cold, warm; in a running process and from the start of one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from benchmarks.sampling import Sample
from benchmarks.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.ground import Ground

NAME = "first test"

_IN_PROCESS = """
import json, sys, time
from pathlib import Path
import psycopg
from freshpg import DatabaseManager

project, linger, rounds, isolation = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

def query(database):
    began = time.perf_counter()
    with psycopg.connect(**database.conninfo.keywords()) as connection:
        connection.execute("SELECT 1").fetchone()
        return time.perf_counter() - began

for number in range(rounds):
    began = time.perf_counter()
    manager = DatabaseManager.from_project(project, overrides={"linger": (float(linger), "benchmark")})
    read = time.perf_counter()
    manager.start()
    started = time.perf_counter()
    database = manager.acquire(isolation=isolation)
    taken = time.perf_counter()
    first = query(database)
    total = time.perf_counter() - began
    bare = min(query(database), query(database))
    # A test takes its time: what the manager does in the background is done meanwhile.
    time.sleep(0.05)
    stop = time.perf_counter()
    manager.stop()
    print(json.dumps({
        "how": manager.server.how, "settings": read - began, "start": started - read, "take": taken - started,
        "first": first, "total": total, "bare": bare, "stop": time.perf_counter() - stop,
    }))
    if linger == "0":
        end = time.monotonic() + 30
        while Path(sys.argv[5]).exists() and time.monotonic() < end:
            time.sleep(0.02)
"""

_FROM_NOTHING = """
import json, sys, time
began = float(sys.argv[2])
from freshpg import DatabaseManager
with DatabaseManager.from_project(sys.argv[1], overrides={"linger": (float(sys.argv[3]), "benchmark")}) as manager:
    with manager.lease(isolation="clone") as database, database.connect() as connection:
        connection.execute("SELECT 1").fetchone()
        print(json.dumps(time.monotonic() - began))
"""

_BARE = """
import json, sys, time
began = float(sys.argv[2])
import psycopg
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("SELECT 1").fetchone()
    print(json.dumps(time.monotonic() - began))
"""


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    rounds = 4 if quick else 25
    project = ground.project(schema(10))
    _in_process(ground, str(project), "0", "1", "clone")
    # The first start in a process also imports what it needs: told apart.
    warm = _in_process(ground, str(project), "60", str(rounds + 2), "clone")
    yield from _phases("warm server", warm[2:], 5.0, "<= 5 ms over a bare connect")
    ground.end_servers()
    cold = _in_process(ground, str(project), "0", str(rounds // 2 + 1), "clone")
    yield from _phases("cold: image cached, no server, no keeper", cold[1:], 60.0, "<= 60 ms")
    ground.end_servers()
    own = _in_process(ground, str(project), "60", str(rounds // 2 + 1), "server")
    yield _row("hand-out of level server, to the first query", "server of its own", [
        one["take"] + one["first"] for one in own[1:]
    ], 100.0, "<= 100 ms")  # fmt: skip
    ground.end_servers()
    yield from _very_first(ground, 1 if quick else 5)
    yield from _processes(ground, project, 2 if quick else 9)


def _in_process(
    ground: Ground, *arguments: str, environment: dict[str, str] | None = None
) -> list[dict[str, float]]:
    return ground.python(
        _IN_PROCESS, *arguments, str(ground.keeper_socket), environment=environment
    )


def _phases(
    condition: str, found: list[dict[str, float]], limit: float, target: str
) -> Iterator[Row]:
    bare = [one["bare"] for one in found]
    over = limit < 10
    total = [one["total"] - one["settings"] - (one["bare"] if over else 0) for one in found]
    name = "start to first query" + (", over a bare connect" if over else "")
    yield _row(
        name, condition, total, limit, target, compared=f"bare connect {_median(bare):.2f} ms"
    )
    parts = {
        "settings": "reading the settings",
        "start": "start()",
        "take": "acquire()",
        "first": "first connect and query",
    }
    for key, what in parts.items():
        yield _row(
            f"of that: {what}" if key != "settings" else what,
            condition,
            [one[key] for one in found],
        )
    yield _row("stop()", condition, [one["stop"] for one in found])


def _very_first(ground: Ground, rounds: int) -> Iterator[Row]:
    project = ground.project("CREATE TABLE item (id bigint PRIMARY KEY);\n")
    found = []
    for _ in range(rounds):
        environment = {"FRESHPG_CACHE": str(ground.directory("cache"))}
        found += _in_process(ground, str(project), "0", "1", "clone", environment=environment)
    yield _row(
        "start to first query", "very first: empty cache, one table", [one["total"] for one in found], 1000.0,
        "<= 1 s and the migrations' own time",
    )  # fmt: skip


def _processes(ground: Ground, project: Path, rounds: int) -> Iterator[Row]:
    found: dict[str, list[float]] = {"bare psycopg": [], "cold": [], "warm": []}
    with ground.raw_server(project) as address:
        url = address.url()
        for _ in range(rounds):
            found["bare psycopg"] += ground.python(_BARE, url, str(time.monotonic()))
            found["warm"] += ground.python(_FROM_NOTHING, str(project), str(time.monotonic()), "60")
    found["warm"] = found["warm"][1:]
    ground.end_servers()
    for _ in range(rounds):
        ground.wait_for_no_keeper()
        found["cold"] += ground.python(_FROM_NOTHING, str(project), str(time.monotonic()), "0")
    bare = _median(found["bare psycopg"])
    for name, values in found.items():
        yield _row(
            "start of the process to first query",
            name,
            values,
            compared=f"bare psycopg {bare:.0f} ms",
        )


def _row(
    subject: str,
    condition: str,
    values: list[float],
    limit: float | None = None,
    target: str = "",
    *,
    compared: str = "",
) -> Row:
    sample = Sample.of(1000 * value for value in values)
    reached = None if limit is None else sample.median <= limit
    return Row(
        NAME, subject, condition, sample=sample, compared=compared, target=target, reached=reached
    )


def _median(values: list[float]) -> float:
    return Sample.of(1000 * value for value in values).median
