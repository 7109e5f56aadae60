"""Removing the shared memory that PostgreSQL leaves when it is killed.

Every data directory in use has one small System V segment. Its key is the inode of the directory, or one of the next
numbers where others have that one (``PGSharedMemoryCreate`` in src/backend/port/sysv_shmem.c, since 13). Its header
names device and inode of the directory, which is the proof asked for here, and the POSIX segment that lists all other
POSIX segments (src/include/storage/pg_shmem.h and src/backend/storage/ipc/dsm.c, the same in 15 to 18).

Standard library only, and run by file as well: ``python -I -S segments.py <data directory> <uid> <gid>``.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import ctypes
import errno
import mmap
import os
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DETACH_SECONDS = 0.5
"""A killed process leaves /proc a moment before its memory is taken apart."""

KEYS = 16
"""Keys to look at: that many neighbours in a row would have to belong to others."""

# magic, creator, total size, first free byte, POSIX control segment, index, device, inode
_HEADER = struct.Struct("@iiNNIPLL" if sys.platform.startswith("linux") else "@iiNNIPiQ")
_MAGIC = 679834894
# magic, used items, all items; then for each its handle and how many processes use it, in 40 bytes
_CONTROL = struct.Struct("=III4x")
_CONTROL_MAGIC = 0x9A503D32
_ITEM = struct.Struct("=II32x")
_READ_ONLY = 0o10000
_REMOVE = 0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmdt.argtypes = (ctypes.c_void_p,)
_libc.shmctl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class Directory:
    """Which data directory it is, kept because it may be gone when its segments are looked for."""

    def __init__(self, data: str) -> None:
        found = os.stat(data)
        self.device = found.st_dev
        self.inode = found.st_ino


def remove(directory: Directory, patience: float = DETACH_SECONDS) -> list[str]:
    """Remove the segments of ``directory`` that this user may remove and no process uses.

    Returns:
        Complaints, empty when none is left.
    """
    complaints = []
    for number, creator, control in _of(directory):
        deadline = time.monotonic() + patience
        while (users := _users(number, creator)) and time.monotonic() < deadline:
            time.sleep(0.002)
        if users:
            complaints.append(f"shared-memory segment {number}: {users} processes use it")
            continue
        _unlink_posix(control)
        if _libc.shmctl(number, _REMOVE, None) != 0:
            problem = ctypes.get_errno()
            if problem not in {errno.EINVAL, errno.EIDRM}:
                complaints.append(f"shared-memory segment {number}: {os.strerror(problem)}")
    return complaints


def made_by_postgres(number: int) -> bool:
    """Whether a segment begins as PostgreSQL's do; False for one that this user may not read."""
    header = _header(number)
    return header is not None and header[0] == _MAGIC


def _of(directory: Directory) -> Iterator[tuple[int, int, int]]:
    """Yield each segment of ``directory``: its id, the pid of its creator, and the handle of its control segment."""
    for step in range(KEYS):
        key = ctypes.c_int(directory.inode + step).value
        # Key 0 would make a new one.
        number = _libc.shmget(key, 0, 0) if key else -1
        header = _header(number) if number >= 0 else None
        if header is None:
            continue
        magic, creator, _, _, control, _, device, inode = header
        if magic == _MAGIC and (device, inode) == (directory.device, directory.inode):
            yield number, creator, control


def _header(number: int) -> tuple[int, ...] | None:
    address = _libc.shmat(number, None, _READ_ONLY)
    if address in {None, ctypes.c_void_p(-1).value}:
        # Somebody else's.
        return None
    try:
        # The smallest segment is a page.
        return _HEADER.unpack(ctypes.string_at(address, _HEADER.size))
    finally:
        _libc.shmdt(address)


def _users(number: int, creator: int) -> int:
    """Return how many processes use a segment."""
    try:
        # As bytes: this user may not be able to read our Python's codecs.
        with open("/proc/sysvipc/shm", "rb") as file:
            heading, *rows = (line.split() for line in file)
    except (OSError, ValueError):
        # Not Linux: there only its creator is known.
        return int(_is_running(creator))
    for row in rows:
        facts = dict(zip(heading, row, strict=False))
        if int(facts[b"shmid"]) == number:
            return int(facts[b"nattch"])
    return 0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _unlink_posix(control: int) -> None:
    """Unlink a control segment and those it lists; with another implementation of theirs there are none."""
    for handle in (*_listed(control), control):
        try:
            _posixshmem.shm_unlink(_posix_name(handle))
        except OSError:
            pass


def _listed(control: int) -> list[int]:
    try:
        descriptor = _posixshmem.shm_open(_posix_name(control), os.O_RDONLY, mode=0)
    except OSError:
        return []
    try:
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as memory:
            magic, used, most = _CONTROL.unpack_from(memory)
            fitting = (len(memory) - _CONTROL.size) // _ITEM.size
            count = min(used, most, fitting) if magic == _CONTROL_MAGIC else 0
            items = [
                _ITEM.unpack_from(memory, _CONTROL.size + n * _ITEM.size) for n in range(count)
            ]
    except (OSError, ValueError, struct.error):
        return []
    finally:
        os.close(descriptor)
    return [handle for handle, references in items if references]


def _posix_name(handle: int) -> str:
    return f"/PostgreSQL.{handle}"


def main(data: str, uid: int, gid: int) -> int:
    """Remove as another user: a container's root may often not remove what others made."""
    directory = Directory(data)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    complaints = remove(directory)
    os.write(2, "\n".join(complaints).encode())
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
