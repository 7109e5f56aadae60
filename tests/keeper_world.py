"""A world for tests of the keeper: a private runtime root, an initialised cluster to copy, owners that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres_server import binaries_at_hand

import freshpg
from freshpg.servers import postmaster, runas, storage, tuning
from freshpg.servers.keeper import spawner
from freshpg.servers.keeper.client import Keeper

MEMORY = Path("/dev/shm")
SOURCE = Path(freshpg.__file__).parents[1]
OWNER = """
import json, os, sys
from pathlib import Path
sys.path[:0] = [{source!r}, {tests!r}]
from keeper_world import Installation, start_server
from freshpg.servers.keeper.client import Keeper
keeper = Keeper.connect(Path({root!r}), label="owner")
server = start_server(keeper, Installation({bindir!r}, {major}), Path({image!r}), key={key!r})
print(json.dumps({{"id": server.id, "pid": server.pid, "directory": str(server.directory),
                   "sockets": str(server.sockets), "keeper": keeper.pid}}), flush=True)
{then}
sys.stdin.read()
"""


@dataclass(frozen=True)
class Installation:
    bindir: str
    major: int

    def program(self, name):
        return Path(self.bindir) / name

    def environment(self):
        return {}


def find_installation():
    found = binaries_at_hand(runas.choose(), machine_first=False)
    return Installation(str(found.bindir), found.version.major)


def until(condition, seconds=5.0):
    """Return what ``condition`` gave as soon as it is true; fail after ``seconds``."""
    never, end = threading.Event(), time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not so within {seconds} s{_seen(condition)}"
        never.wait(0.002)
    return found


def _seen(condition):
    return (
        f": {condition.__self__.left()}"
        if isinstance(getattr(condition, "__self__", None), Remains)
        else ""
    )


def make_image(installation, directory):
    user = runas.choose()
    directory.mkdir()
    os.chown(directory, user.uid, user.gid)
    command = [
        *(
            str(installation.program("initdb")),
            "-D",
            str(directory / "data"),
            "-U",
            "freshpg_admin",
            "-A",
            "trust",
        ),
        *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1"),
    ]
    identity = (
        {} if user.is_ourselves else {"user": user.uid, "group": user.gid, "extra_groups": []}
    )
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **identity)
    return directory / "data"


def place_filled(keeper, image, root=None):
    """Claim, make and fill the place of a server."""
    user = runas.choose()
    place = storage.server_place(root or keeper.root, keeper.root)
    keeper.claim(place.paths)
    place.make(user.uid, user.gid)
    subprocess.run(["cp", "-a", str(image), str(place.data)], check=True)
    return place


def start_server(keeper, installation, image, *, key="", overrides=None, root=None, **options):
    settings = tuning.throwaway(installation.major, overrides=overrides)
    place = place_filled(keeper, image, root)
    return postmaster.start(
        keeper, place, installation, runas.choose(), settings, key=key, **options
    )


def processes_in(directory):
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str((entry / "cwd").readlink()).startswith(str(directory)):
                found.append(int(entry.name))
    return found


def segments():
    """Ids of all System V segments of the user that runs servers."""
    uid = str(runas.choose().uid)
    heading, *rows = (line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines())
    return {row[heading.index("shmid")] for row in rows if row[heading.index("uid")] == uid}


def segment_of(data):
    return (data / "postmaster.pid").read_text().splitlines()[6].split()[1]


@dataclass
class Remains:
    """Everything a server may leave; falsy when nothing is left."""

    directory: Path
    sockets: Path
    segment: str

    @classmethod
    def of(cls, server):
        return cls(server.directory, server.sockets, segment_of(server.directory / "data"))

    def left(self):
        return [
            *processes_in(self.directory),
            *(str(path) for path in (self.directory, self.sockets) if path.exists()),
            *({self.segment} & segments()),
        ]

    def gone(self):
        return not self.left()


@dataclass
class World:
    base: Path
    installation: Installation
    image: Path

    def __post_init__(self):
        self.root = self.base / "root"
        self.owners = []

    def connect(self, **options):
        return Keeper.connect(self.root, **options)

    def start(self, keeper, **options):
        return start_server(keeper, self.installation, self.image, **options)

    def owner(self, *, key="", then=""):
        """Start a process that owns a server; return it and the server's facts."""
        script = OWNER.format(
            source=str(SOURCE), tests=str(Path(__file__).parent), root=str(self.root), image=str(self.image),
            bindir=self.installation.bindir, major=self.installation.major, key=key, then=then,
        )  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.owners.append(process)
        facts = json.loads(process.stdout.readline())
        return process, Facts(
            facts["id"], facts["pid"], Path(facts["directory"]), Path(facts["sockets"])
        )

    def keeper_pid(self):
        found = Keeper.find(self.root)
        if found is None:
            return 0
        with found:
            return found.pid

    def kill_keeper(self):
        pid = self.keeper_pid()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not runs(pid))

    def end(self):
        found = Keeper.find(self.root)
        if found:
            with found:
                print("complaints", found.status()["complaints"])
        for process in self.owners:
            process.kill()
            process.communicate()
        if self.root.exists() and (pid := self.keeper_pid()):
            os.kill(pid, signal.SIGTERM)
            until(lambda: not runs(pid))
        for pid in processes_in(self.base):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.base)


@dataclass
class Facts:
    id: str
    pid: int
    directory: Path
    sockets: Path


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(scope="session")
def installation():
    return find_installation()


@pytest.fixture(scope="session")
def image(installation):
    base = Path(tempfile.mkdtemp(prefix="fpgi-", dir=MEMORY))
    base.chmod(0o711)
    try:
        yield make_image(installation, base / "image")
    finally:
        shutil.rmtree(base)


@pytest.fixture
def world(installation, image, monkeypatch):
    monkeypatch.setattr(spawner, "IDLE_SECONDS", 0.05)
    base = Path(tempfile.mkdtemp(prefix="fpgk-", dir=MEMORY))
    base.chmod(0o711)
    made = World(base, installation, image)
    yield made
    made.end()


@pytest.fixture
def keeper(world):
    with world.connect(label="test") as connected:
        yield connected
