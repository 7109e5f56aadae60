"""After every test of ours: is there a child, a descriptor or a directory of a server that was not there before?

What fixtures of a wider scope than a test make is theirs until they end, so it is noted while they are set up. The looks
that cost more, at the processes of the whole machine, are made once a module; CI's own eye is tools/check_leftovers.py.
"""

import gc
import os
import threading
import time
from pathlib import Path

import pytest

from freshpg.testing.left.memory import descriptors
from freshpg.testing.left.processes import children

PATIENCE = 3.0  # seconds; only who left something waits
PASSING = ("socket:", "/dev/", "/proc/", "/sys/", "anon_inode:")
"""Descriptors that engines of a session keep and change as they like; psycopg and Python warn of those left open."""


class Tidiness:
    """What is there now, and what may be."""

    def __init__(self, place):
        self._place = place
        self._wide = set()
        self._known_pids = set()

    def look(self):
        """Names of all that a test has to take away again."""
        held = (one.name for one in descriptors())
        return {
            *(f"{one}" for one in children() if "-c from multiprocessing." not in one.detail),
            *(f"descriptor {name}" for name in held if not _is_passing(name)),
            *(f"directory {path}" for path in self._servers()),
        }

    def _servers(self):
        for directory in (self._place, *_entries(self._place)):
            for root in _entries(directory):
                if root.name.startswith("freshpg-"):
                    yield from (one.path for one in _entries(f"{root.path}/servers"))

    def widen(self, before):
        """What came since ``before`` belongs to a fixture that lives longer than a test."""
        self._wide |= self.look() - before

    def left(self, before):
        """What is left of a test once nothing goes by itself any more."""
        found = self.look() - before - self._wide
        end = time.monotonic() + PATIENCE
        while found and time.monotonic() < end:
            gc.collect()
            threading.Event().wait(0.01)
            found = self.look() - before - self._wide
        return sorted(found)

    def stray_processes(self):
        """Processes below our place whose server is none of a fixture's, among those that came since the last call."""
        now = {int(one.name) for one in _entries("/proc") if one.name.isdigit()}
        fresh, self._known_pids = now - self._known_pids, now
        return [f"process {pid} in {cwd}" for pid in fresh if (cwd := self._stray(pid))]

    def _stray(self, pid):
        try:
            cwd = str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            return ""
        gone = cwd.endswith(" (deleted)")
        return cwd if cwd.startswith(f"{self._place}/") and gone else ""


def _entries(directory):
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


def _is_passing(name):
    number, _, target = name.partition(" ")
    return int(number) < 3 or target.startswith(PASSING)


TIDINESS = pytest.StashKey[Tidiness]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Look at the run's own place, once it has one."""
    config.stash[TIDINESS] = Tidiness(Path(os.environ["FRESHPG_RUNTIME"]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    """Note what a fixture of a wider scope makes."""
    tidiness = request.config.stash.get(TIDINESS, None)
    if tidiness is None or fixturedef.scope == "function":
        return (yield)
    before = tidiness.look()
    try:
        return (yield)
    finally:
        tidiness.widen(before)


@pytest.fixture(autouse=True)
def _nothing_is_left(request):
    """Fail the test that left something."""
    tidiness = request.config.stash[TIDINESS]
    before = tidiness.look()
    yield
    left = tidiness.left(before)
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def _no_process_is_left(request):
    """Fail the last test of a module that left processes of servers whose directory is gone."""
    tidiness = request.config.stash[TIDINESS]
    yield
    end = time.monotonic() + PATIENCE
    stray = tidiness.stray_processes()
    while stray and time.monotonic() < end:
        threading.Event().wait(0.01)
        tidiness._known_pids = set()
        stray = tidiness.stray_processes()
    if stray:
        pytest.fail("left behind: " + "; ".join(stray), pytrace=False)
