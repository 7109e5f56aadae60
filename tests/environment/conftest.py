"""Odd surroundings for a program that uses freshpg: other users, small disks, strange variables, hostile neighbours.

Every program is a process of its own, so that its user, its mounts and its environment can be anything.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import freshpg

VISITOR = Path(__file__).with_name("visitor.py")
MEMORY = Path("/dev/shm")
SOURCE = Path(freshpg.__file__).parents[1]
MB = 1 << 20
SETTINGS = """\
[tool.freshpg]
linger = 0
[tool.freshpg.databases.main]
name = "odd_test"
migrations = ["schema.sql"]
"""
SCHEMA = """\
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
"""
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START")


@dataclass
class Ended:
    """What a program said."""

    status: int
    told: dict
    stderr: str

    def __getattr__(self, name):
        assert name in self.told, f"{name} was not told: {self.told} {self.stderr}"
        return self.told[name]


@dataclass
class Ground:
    """A private place with a project, a runtime root, a cache, and the program that uses them."""

    base: Path
    seed: Path
    processes: list = field(default_factory=list)

    def __post_init__(self):
        self.project, self.runtime, self.cache = (
            self.base / name for name in ("project", "run", "cache")
        )
        for directory in (self.project, self.runtime):
            directory.mkdir()
            directory.chmod(0o755)
        (self.project / "pyproject.toml").write_text(SETTINGS)
        (self.project / "schema.sql").write_text(SCHEMA)

    def warm(self, uid=None):
        """Put the image of the project into the cache, as if an earlier run had made it."""
        shutil.copytree(self.seed, self.cache, dirs_exist_ok=True)
        if uid is not None:
            self.give(uid, self.cache, *self.cache.rglob("*"))

    def give(self, uid, *paths):
        for path in paths:
            os.chown(path, uid, uid)

    def environment(self, **variables):
        """Nothing of this process but what finds programs; ``None`` removes a variable."""
        found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        found |= {
            "PYTHONPATH": os.pathsep.join([str(SOURCE), *_site_packages()]),
            "FRESHPG_RUNTIME": str(self.runtime),
            "FRESHPG_CACHE": str(self.cache),
        }
        found |= variables
        return {name: str(value) for name, value in found.items() if value is not None}

    def start(self, *statements, uid=None, mounts="", umask=-1, python=None, **variables):
        """Start the program and return its process."""
        argv = [python or python_for(uid), str(VISITOR), str(self.project), *statements]
        if uid is not None:
            argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]
        if mounts:
            _skip_if_hidden(mounts)
            argv = [*_namespace(), f'set -e\n{mounts}\nexec "$@"', "sh", *argv]
        process = subprocess.Popen(
            argv,
            env=self.environment(**variables),
            umask=umask,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def visit(self, *statements, **circumstances):
        """Run the program to its end."""
        return ended(self.start(*statements, **circumstances))

    def remains(self):
        """Processes that run here, and directories of servers."""
        roots = ("run/freshpg-*", "run/*/freshpg-*", "cache/run", "run/cache/run")
        places = [entry for root in roots for entry in self.base.glob(f"{root}/servers/*")]
        return [*places, *processes_at(self.base)]

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        until(lambda: not processes_at(self.base), 15.0)


def ended(process):
    out, err = process.communicate(timeout=120)
    lines = out.strip().splitlines()
    return Ended(process.returncode, json.loads(lines[-1]) if lines else {}, err)


def processes_at(directory):
    """Pid and command line of every process that names ``directory``; what mounts of its own hid is not seen."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if f"{directory}/" in line:
                found[int(entry.name)] = line
    return found


def until(condition, seconds=5.0):
    """Return what ``condition`` gave as soon as it is true; fail after ``seconds``."""
    never, end = threading.Event(), time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not so within {seconds} s"
        never.wait(0.01)
    return found


def python_for(uid):
    """Return a Python like this one that a user can run."""
    candidates = [sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"]
    if uid is None:
        return sys.executable
    for python in candidates:
        who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        # setpriv itself may still get where its user may not, so Python has to be able to run itself again.
        question = "import os, sys; sys.exit(not os.access(sys.executable, os.X_OK))"
        asked = [*who, python, "-c", question]
        try:
            if subprocess.run(asked, cwd="/", capture_output=True, check=False).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip(
        f"no Python {sys.version_info.major}.{sys.version_info.minor} that user {uid} can reach"
    )


def _site_packages():
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]


def _skip_if_hidden(mounts):
    """Skip where the test would hide its own program: a checkout below /tmp, say."""
    for hidden in ("/tmp", "/var/tmp", "/dev/shm"):
        named = re.search(rf"(?<![\w/]){hidden}(?![\w/])", mounts)
        if named and Path(sys.executable).absolute().is_relative_to(hidden):
            pytest.skip(f"this Python lies below {hidden}, which the test hides")


def _namespace():
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    if os.geteuid() != 0:
        pytest.skip("file systems of one's own need root")
    try:
        probed = subprocess.run(
            [*command, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no unshare here")
    if probed.returncode:
        pytest.skip(f"no mounts are allowed here: {probed.stderr.decode().strip()}")
    return command


def _make_base():
    base = Path(tempfile.mkdtemp(prefix="fpg-odd-", dir=MEMORY if MEMORY.is_dir() else None))
    base.chmod(0o711)
    return base


@pytest.fixture(scope="session")
def seed():
    """A cache that holds the image of the project."""
    base = _make_base()
    ground = Ground(base, base)
    told = ground.visit()
    assert told.how == "initdb"
    ground.end()
    yield ground.cache
    shutil.rmtree(base)


@pytest.fixture
def ground(seed):
    place = Ground(_make_base(), seed)
    yield place
    place.end()
    shutil.rmtree(place.base)


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        pytest.skip("to become another user needs root")


@pytest.fixture
def nobody(as_root):
    return pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def disk_ground(seed):
    """A ground that stays when the process gets another /dev/shm, /tmp and /var/tmp."""
    base = Path(tempfile.mkdtemp(prefix=".fpg-odd-", dir=Path(__file__).parent))
    base.chmod(0o711)
    place = Ground(base, seed)
    yield place
    place.end()
    shutil.rmtree(base)
