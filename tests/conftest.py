"""For every area: a private place for servers and images, and proof at the end that nothing of the run remains."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "tidiness"]

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
MEMORY = Path("/dev/shm")
ROOMY = 1 << 30  # bytes free in memory before a run's images may lie there

PLACE = pytest.StashKey[Path]()
LEFT = pytest.StashKey[dict]()


@pytest.fixture(scope="session")
def shared_data():
    """Real schemas and data, beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real schemas in {SHARED_DATA}")
    return SHARED_DATA


def pytest_configure(config):
    """Give the run a place of its own, and each worker a corner of it, so that none meets another's servers."""
    if hasattr(config, "workerinput"):
        corner = Path(os.environ["FRESHPG_RUNTIME"], config.workerinput["workerid"])
        corner.mkdir(mode=0o711)
        os.environ["FRESHPG_RUNTIME"] = str(corner)
        return
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOMY
    place = Path(tempfile.mkdtemp(prefix="freshpg-tests-", dir=MEMORY if in_memory else None))
    # The user that PostgreSQL runs as when root starts it has to get through.
    place.chmod(0o711)
    os.environ |= {
        "FRESHPG_RUNTIME": str(place),
        "FRESHPG_CACHE": str(place / "cache"),
        "FRESHPG_LINGER": "0",
    }
    config.stash[PLACE] = place


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail the run when a process, socket or directory of it is left."""
    place = session.config.stash.get(PLACE, None)
    if place is None:
        return
    left = _settled(place)
    session.config.stash[LEFT] = left
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    shutil.rmtree(place, ignore_errors=True)


def pytest_terminal_summary(terminalreporter, config):
    for thing, detail in sorted(config.stash.get(LEFT, {}).items()):
        terminalreporter.write_line(f"left behind: {thing} {detail}".rstrip(), red=True)


def _settled(place):
    """What is left once nothing goes away any more, or the system's patience ends."""
    eyes = _eyes()
    eyes.remains = lambda: _remains(eyes, place)
    return eyes.settle(set(), eyes.PATIENCE)


def _remains(eyes, place):
    ours = {thing: detail for thing, detail in eyes.processes().items() if f"{place}/" in detail}
    for entry in (*place.glob("freshpg-*/*"), *place.glob("gw*/freshpg-*/*")):
        if entry.is_dir():
            ours |= {f"directory {inner}": "" for inner in entry.iterdir()}
        elif entry.is_socket():
            ours[f"socket {entry}"] = ""
    return ours


def _eyes():
    """The module that looks at the system without a line of freshpg in it."""
    spec = importlib.util.spec_from_file_location("eyes", ROOT / "tools" / "check_leftovers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
