"""Killed, forked, forgotten: what a manager leaves then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.events import Progress
from freshpg.servers import storage
from freshpg.servers.keeper.client import Keeper

HOLDER = """
import sys
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

manager = DatabaseManager(Settings(linger=float(sys.argv[1]),
    databases={"main": {"name": "shop_test", "migrations": ["schema.sql"]}}))
database = manager.acquire("main", isolation=sys.argv[2])
print(database.conninfo.host, flush=True)
sys.stdin.read()
"""


def processes_below(directory):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append(entry.name)
        except OSError:
            continue
    return found


def wait_until(condition, seconds):
    limit = Deadline(seconds)
    while not condition():
        if limit.expired:
            return False
        os.sched_yield()
    return True


@pytest.fixture
def holder(project):
    """Return a starter of a process that holds a database; yields process and socket directory."""
    started = []

    def start(linger, level="clone"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(linger), level],
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize("level", ["clone", "server"])
@pytest.mark.parametrize("linger", [0, 600], ids=["in CI", "with linger"])
def test_a_killed_process_leaves_nothing_after_a_second(holder, linger, level):
    process, sockets = holder(linger, level)
    assert sockets.exists()
    process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    gone = wait_until(
        lambda: not sockets.parent.exists() and not processes_below(sockets.parent), 10
    )
    assert gone
    assert time.monotonic() - began < 2.0


def test_a_process_that_forgets_to_stop_leaves_nothing(holder):
    process, sockets = holder(0)
    process.communicate("")
    assert process.returncode == 0
    assert not sockets.parent.exists()


def test_a_keeper_killed_while_an_image_is_made_costs_nothing(make_manager, project):
    (project / "schema.sql").write_text("CREATE TABLE customer (id int, made_while text)")
    manager = make_manager()
    killed = []

    def kill_keeper(event):
        if isinstance(event, Progress) and "schema.sql" in event.text and not killed:
            with Keeper.find(storage.keeper_root()) as keeper:
                killed.append(keeper.pid)
                os.kill(keeper.pid, signal.SIGKILL)

    manager.events.subscribe(kill_keeper)
    with manager.lease(isolation="clone") as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (0,)
    assert killed


def test_a_forked_child_does_not_take_the_parents_databases_down(manager):
    with manager.lease() as database:
        child = os.fork()
        if child == 0:
            manager.stop()
            os._exit(0)
        os.waitpid(child, 0)
        with database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
    with manager.lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
