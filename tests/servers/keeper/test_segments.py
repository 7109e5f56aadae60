from __future__ import annotations

import ctypes
import os
import signal
import struct
from pathlib import Path

import psycopg
import pytest
from keeper_world import Remains, segments, until

from freshpg.servers.keeper.segments import Directory, remove

HEADER = struct.Struct("@iiNNIPLL")
MAGIC = 679834894


@pytest.fixture
def libc():
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    library.shmdt.argtypes = (ctypes.c_void_p,)
    return library


@pytest.fixture
def make(libc):
    """Make a segment as PostgreSQL would for a directory."""
    made = []

    def make(directory, *, step=0, magic=MAGIC, inode=None):
        found = directory.stat()
        key = ctypes.c_int(found.st_ino + step)
        number = libc.shmget(key, HEADER.size, 0o3600)
        assert number >= 0
        made.append(number)
        address = libc.shmat(number, None, 0)
        inode = found.st_ino if inode is None else inode
        header = HEADER.pack(magic, 1, HEADER.size, 0, 0, 0, found.st_dev, inode)
        ctypes.memmove(address, header, HEADER.size)
        libc.shmdt(address)
        return number

    yield make
    for number in made:
        libc.shmctl(number, 0, None)


def is_there(number):
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return any(int(row.split()[1]) == number for row in rows)


def test_an_abandoned_segment_is_removed(make, tmp_path):
    number = make(tmp_path)
    assert remove(Directory(str(tmp_path))) == []
    assert not is_there(number)


def test_one_with_a_later_key_is_found_behind_somebody_elses(make, tmp_path):
    other = make(tmp_path, inode=1)
    mine = make(tmp_path, step=1)
    assert remove(Directory(str(tmp_path))) == []
    assert not is_there(mine)
    assert is_there(other)


def test_what_another_program_keeps_under_that_key_stays(make, tmp_path):
    number = make(tmp_path, magic=MAGIC + 1)
    assert remove(Directory(str(tmp_path))) == []
    assert is_there(number)


def test_one_in_use_stays_and_is_told_of(make, libc, tmp_path):
    number = make(tmp_path)
    address = libc.shmat(number, None, 0)
    (complaint,) = remove(Directory(str(tmp_path)), patience=0.0)
    assert "1 processes use it" in complaint
    assert is_there(number)
    libc.shmdt(address)


def test_a_killed_server_that_was_told_to_use_posix_segments_leaves_none(world, keeper):
    server = world.start(keeper, overrides={"dynamic_shared_memory_type": "posix"})
    left = Remains.of(server)
    posix = posix_segments(server.data)
    with psycopg.connect(**server.conninfo.keywords()) as connection:
        connection.execute("SELECT 1")
    assert posix
    assert left.segment in segments()
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: left.segment not in segments())
    assert not [path for path in posix if path.exists()]


def posix_segments(data):
    """Return the POSIX segments that the processes in a data directory use."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == data:
                lines = (entry / "maps").read_text().splitlines()
                found |= {Path(line.split()[5]) for line in lines if "/dev/shm/PostgreSQL." in line}
        except OSError:
            continue
    return found
