"""Killed, or refused, at one system call after the other of a whole life: start, hand out, stop.

``FRESHPG_CHAOS_SYSCALLS`` says how many moments of each call are tried, spread over all of them; ``all`` tries each.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from chaos.ground import settled

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

MOMENTS = os.environ.get("FRESHPG_CHAOS_SYSCALLS", "4")
KILLED_AT = (
    *(
        "mkdir",
        "rename",
        "unlink",
        "rmdir",
        "chmod",
        "fchmod",
        "fchown",
        "openat",
        "write",
        "pwrite64",
    ),
    *("connect", "sendto", "bind", "flock", "ftruncate", "clone", "vfork", "wait4"),
)
REFUSED = {
    "openat": ("ENOSPC", "EMFILE", "EIO"),
    "mkdir": ("ENOSPC", "EROFS"),
    "rename": ("ENOSPC", "EIO"),
    "write": ("ENOSPC",),
    "connect": ("ECONNREFUSED", "EMFILE"),
    "clone": ("EAGAIN",),
    "clone3": ("EAGAIN",),
}
LIFE = """
import json, os, signal, sys
from chaos.scenarios import SCENARIOS
from freshpg.core.errors import FreshpgError
from freshpg.servers.keeper import spawner
spawner.IDLE_SECONDS = 0.05
os.kill(os.getpid(), signal.SIGSTOP)
try:
    SCENARIOS["use"]()
    told = "told"
except FreshpgError as error:
    told = f"typed {type(error).__name__}"
except BaseException as error:
    told = f"raw {error!r}"
print(told, flush=True)
"""
GONE_SECONDS = 15.0


@pytest.fixture(scope="session")
def strace():
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = ["strace", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")


@pytest.fixture
def live(strace, make_ground, tmp_path):
    """Return what lives one life under strace, and tells how it ended."""
    started = []

    def live(*words, follow=True):
        ground = make_ground()
        process = subprocess.Popen(
            [sys.executable, "-c", LIFE],
            cwd=ground.project,
            env=ground.whole_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        os.waitpid(process.pid, os.WUNTRACED)
        log = tmp_path / "calls"
        tracer = subprocess.Popen(
            [
                "strace",
                *(["-f"] if follow else []),
                "-q",
                "-o",
                str(log),
                *words,
                "-p",
                str(process.pid),
            ],
            stderr=subprocess.DEVNULL,
        )
        started.append(tracer)
        assert not settled(lambda: not _is_traced(process.pid), 10)
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate(timeout=120)
        left = settled(ground.servers_left, GONE_SECONDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(2)
        tracer.terminate()
        tracer.wait(10)
        return ground, told.strip() or f"killed {process.returncode}", left, log

    yield live
    for process in started:
        process.kill()
        process.wait()


def _is_traced(pid):
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture(scope="session")
def calls():
    return {}


def count(live):
    """How often the busiest task makes each call."""
    _, told, left, log = live("-e", f"trace={','.join(f'?{name}' for name in KILLED_AT)}")
    assert (told, left) == ("told", [])
    found = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE))
    most = {}
    for (_, name), number in found.items():
        most[name] = max(most.get(name, 0), number)
    return most


def moments(number):
    if MOMENTS == "all" or number <= int(MOMENTS):
        return range(1, number + 1)
    wanted = int(MOMENTS)
    return sorted({1 + round(step * (number - 1) / (wanted - 1)) for step in range(wanted)})


@pytest.mark.parametrize("name", KILLED_AT)
def test_killed_at_a_system_call_the_next_start_works_and_nothing_is_left(
    live, calls, nursery, name
):
    if not calls:
        calls.update(count(live))
    tried, killed = [], 0
    for moment in moments(calls.get(name, 0)):
        ground, told, _, log = live(
            "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={moment}"
        )
        tried.append((moment, told))
        # Not always the process itself: some calls are made by its children alone.
        killed += log.read_text().count("killed by SIGKILL")
        again = nursery.run(ground, "use")
        assert "told" in again, (name, moment, told, again)
        assert settled(ground.left, GONE_SECONDS) == [], (name, moment, told)
        assert ground.drafts_left() == [], (name, moment, told)
    print(f"{name}: {tried} of {calls.get(name, 0)}")
    assert killed or not tried or calls[name] < 3


@pytest.mark.parametrize(
    "name, error", [(name, error) for name, errors in REFUSED.items() for error in errors]
)
def test_a_system_call_that_is_refused_is_named_and_leaves_nothing(live, nursery, name, error):
    for moment in (1, 2, 3, 7, 20, 60, 200):
        words = ("-e", f"trace={name}", "-e", f"inject={name}:error={error}:when={moment}")
        ground, told, _, log = live(*words, follow=False)
        if "INJECTED" not in log.read_text():
            break
        assert told == "told" or told.startswith("typed"), (name, error, moment, told)
        again = nursery.run(ground, "use")
        assert "told" in again, (name, error, moment, told, again)
        assert settled(ground.left, GONE_SECONDS) == [], (name, error, moment, told)
