"""Removing what a server or a dead owner left: processes, directories.

Runs in a short-lived child of the keeper, so that a slow disk never keeps the keeper from answering. Every act is
idempotent: a keeper killed in the middle is followed by one that starts over.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time

from . import identity
from .faults import faultpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RECORD = "server.json"
KILL_SECONDS = 2.0
AS_USER_SECONDS = 15.0
"""How long an act as another user may take; each has a shorter deadline of its own."""


def kill_processes_below(data: str, uid: int) -> list[str]:
    """Kill every process of ``uid`` that works in ``data`` and wait until none is left.

    Returns:
        Complaints, empty when none is left.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        found = [pid for pid in identity.working_below(data, uid) if _kill(pid, data, uid)]
        if not found:
            return []
        if time.monotonic() > deadline:
            return [f"processes {found} in {data} do not die"]
        time.sleep(0.002)


def _kill(pid: int, data: str, uid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The pid may have been reused between the listing and the opening; from here on it cannot be.
        if not identity.works_below(pid, data, uid):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def as_user(uid: int, gid: int, act: Callable[[], list[str]]) -> list[str]:
    """Run ``act`` as ``uid``; its complaints come back.

    ``act`` must import nothing: that user may not be able to read our Python.

    Root in a container often may neither look into other users' processes nor remove their segments (CAP_SYS_PTRACE
    and CAP_SYS_ADMIN are dropped), whereas the user itself may. And as that user, nothing else can be hit.
    """
    if uid == os.geteuid():
        return act()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        complaints = []
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            complaints = act()
        except Exception as error:  # noqa: BLE001 (told to the caller, whatever it is)
            complaints = [f"as user {uid}: {error!r}"]
        finally:
            os.write(writer, "\n".join(complaints).encode(errors="replace")[:4000])
            os._exit(0)
    os.close(writer)
    try:
        if not select.select([reader], [], [], AS_USER_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            return [f"as user {uid}: not done within {AS_USER_SECONDS:g} s"]
        return os.read(reader, 4000).decode(errors="replace").splitlines()
    finally:
        os.close(reader)
        os.waitpid(child, 0)


def owned_root(root: str) -> bool:
    """Whether ``root`` is a real directory of ours that nobody else can write."""
    try:
        found = os.lstat(root)
    except OSError:
        return False
    return os.path.isabs(root) and stat.S_ISDIR(found.st_mode) and _is_ours_alone(found)


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def root_of(path: str, roots: Iterable[str]) -> str:
    """Return the root that ``path`` lies at least two levels below; empty when there is none.

    Two levels, so that neither a root nor one of its shelves (``servers``, ``images``) can be removed by a claim.
    """
    if path != os.path.normpath(path) or "\0" in path:
        return ""
    for root in roots:
        if path.startswith(root + "/") and "/" in path[len(root) + 1 :]:
            return root
    return ""


def remove_path(path: str, roots: Iterable[str]) -> list[str]:
    """Remove ``path``, a file or a tree below one of ``roots``, without following a single symbolic link.

    Every directory above it must be ours and writable by nobody else: then whatever lies there is our doing, even
    when it belongs to the user that runs servers.

    Returns:
        Complaints, empty when ``path`` no longer exists.
    """
    root = root_of(path, roots)
    if not root:
        return [f"{path}: not below a root of ours"]
    *parents, name = path[len(root) + 1 :].split("/")
    complaints: list[str] = []
    opened: list[int] = []
    try:
        for step in (root, *parents):
            above = opened[-1] if opened else None
            opened.append(os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above))
            if not _is_ours_alone(os.fstat(opened[-1])):
                return [f"{path}: {step} above it is not ours alone"]
        _remove(name, opened[-1], os.fstat(opened[0]).st_dev, path, complaints)
    except FileNotFoundError:
        pass
    except OSError as error:
        complaints.append(f"{path}: {error.strerror}")
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return complaints


def _remove(name: str, parent: int, device: int, shown: str, complaints: list[str]) -> None:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
        elif found.st_dev != device:
            complaints.append(f"{shown}: another file system is mounted there")
        else:
            _remove_directory(name, parent, device, shown, complaints)
    except FileNotFoundError:
        pass
    except OSError as error:
        complaints.append(f"{shown}: {error.strerror}")


def _remove_directory(
    name: str, parent: int, device: int, shown: str, complaints: list[str]
) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        with os.scandir(descriptor) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        # The record goes last: while it exists the next keeper knows that this directory is to be removed.
        found.sort(key=lambda entry: entry[0] == RECORD)
        for child, is_directory in found:
            if is_directory:
                _remove(child, descriptor, device, f"{shown}/{child}", complaints)
            else:
                if child == RECORD:
                    faultpoint("remains.record_alone")
                os.unlink(child, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    faultpoint("remains.emptied")
    os.rmdir(name, dir_fd=parent)
