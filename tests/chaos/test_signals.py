"""However a suite is ended by signals or by itself, nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from chaos.ground import WITHOUT, settled

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

SUITE = """
import ctypes, os, sys, time
import pytest

def test_first(pg):
    with pg.connect() as connection:
        connection.execute("INSERT INTO customer (name) VALUES ('Grace')")

@pytest.mark.pg(isolation="clone")
def test_then(pg, request):
    with pg.connect() as connection:
        connection.execute("SELECT 1")
        (request.config.rootpath / f"reached-{os.getpid()}").touch()
        {act}
"""
TOML = '[databases.main]\nname = "ended_test"\nmigrations = ["schema.sql"]\n'
ACTS = {
    "os._exit": "os._exit(0)",
    "a segmentation fault": "ctypes.string_at(0)",
    "an abort": "os.abort()",
    "pytest-timeout's thread": "time.sleep(60)",
    "sys.exit in a thread's place": "sys.exit(3)",
}
SIGNALS = {
    "SIGTERM": (1, 2, 20),
    "SIGHUP": (1, 2, 20),
    "SIGINT": (1, 2, 20),
    "SIGQUIT": (1,),
    "SIGABRT": (1,),
}
TIMED = ("--timeout=3", "--timeout-method=thread", "-o", "timeout_func_only=true")
"""A loaded machine may take longer to start the server, which is not what is to be timed out."""
WORKERS = {"alone": 0, "under xdist": 2}
WORKER_SECONDS = 25.0
"""A worker outlives its controller: execnet waits 5 s, then 10 s more."""
GONE_SECONDS = 5.0
"""For a loaded machine; how fast it is is measured in the storm."""


def heed_signals():
    """What ran this suite may ignore some (``nohup``, ``&`` in a script), and what is ignored is inherited."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture
def start(make_ground):
    started = []

    def start(act, workers, *words):
        ground = make_ground()
        ground.log = (ground.base / "log").open("wb")
        (ground.project / "test_ended.py").write_text(SUITE.replace("{act}", act))
        (ground.project / "freshpg.toml").write_text(TOML)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "--color=no"),
                *(word for name in WITHOUT for word in ("-p", f"no:{name}")),
                *(("-n", str(workers)) if workers else ()),
                *words,
            ],
            cwd=ground.project,
            env=ground.whole_environment(),
            stdin=subprocess.DEVNULL,
            stdout=ground.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_signals,  # noqa: PLW1509 (it takes no lock)
        )
        ground.log.close()
        started.append(process)
        return ground, process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def in_session(session):
    from chaos.storm import processes

    return [one.pid for one in processes() if one.session == session]


def require_nothing_left(ground, process):
    assert settled(lambda: process.poll() is None, WORKER_SECONDS) is False
    assert settled(lambda: in_session(process.pid), WORKER_SECONDS) == []
    assert settled(ground.left, GONE_SECONDS) == []


def wait_for_test(ground, process):
    def on_its_way():
        return process.poll() is None and not reached()

    def reached():
        return list(ground.project.glob("reached-*"))

    settled(on_its_way, 60)
    log = (ground.base / "log").read_text(errors="replace")
    assert reached(), f"pytest ended with {process.poll()} before its test began: {log}"


@pytest.mark.parametrize("workers", WORKERS.values(), ids=WORKERS)
@pytest.mark.parametrize(
    "name, times", [(name, times) for name, counts in SIGNALS.items() for times in counts]
)
def test_a_signal_to_pytest(start, name, times, workers):
    ground, process = start("time.sleep(60)", workers)
    wait_for_test(ground, process)
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(getattr(signal, name))
        time.sleep(0.01)
    if name == "SIGINT" and workers:
        # xdist waits for its workers, which sleep on: as a person would, end them.
        time.sleep(1.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    require_nothing_left(ground, process)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
def test_a_signal_to_the_whole_group(start, name):
    ground, process = start("time.sleep(60)", 0)
    wait_for_test(ground, process)
    os.killpg(process.pid, getattr(signal, name))
    require_nothing_left(ground, process)


@pytest.mark.parametrize("workers", WORKERS.values(), ids=WORKERS)
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_test_that_ends_the_process(start, act, workers):
    words = TIMED if "sleep" in act else ()
    ground, process = start(act, workers, *words)
    wait_for_test(ground, process)
    require_nothing_left(ground, process)


def test_a_signal_at_any_moment_of_the_start(start):
    """Control-C twice in quick succession, at twelve moments from the first import to the first test."""
    for moment in range(12):
        ground, process = start("time.sleep(0)", 0)
        time.sleep(0.1 * moment)
        for _ in range(2):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        require_nothing_left(ground, process)
