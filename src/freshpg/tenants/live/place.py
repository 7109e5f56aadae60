"""Where processes show their tenant pools: one socket each, in a directory that only our user can enter."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import PathUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIX = ".sock"
_LONGEST_PATH = 103 if sys.platform == "darwin" else 107
"""sizeof(sun_path) - 1: https://man7.org/linux/man-pages/man7/unix.7.html"""
_TODO = (
    "set FRESHPG_RUNTIME to a directory of your own with a short path, for the application and for freshpg tenants",
    "remove the directory in the way if it is not yours",
)


def directories(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return where sockets may lie, best first: below ``FRESHPG_RUNTIME`` alone when set, else below ``TMPDIR``, ``/tmp``."""
    chosen = environ.get("FRESHPG_RUNTIME")
    bases = (chosen,) if chosen else (tempfile.gettempdir(), "/tmp")  # noqa: S108 (ours below it, and checked)
    found = dict.fromkeys(Path(base).absolute() for base in bases)
    return tuple(base / f"freshpg-tenants-{os.geteuid()}" for base in found)


def make_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the first directory that can be used, made if need be.

    Raises:
        PathUnusable: None can; says why for each.
    """
    seen = []
    for directory in directories(environ):
        problem = _make(directory)
        if not problem:
            return directory
        seen.append(f"{directory}: {problem}")
    raise PathUnusable(
        "a place to show tenant pools was looked for",
        on=str(directories(environ)[0]),
        seen="\n".join(seen),
        todo=_TODO,
    )


def sockets(environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Yield the sockets of all processes of our user; what others might have put in our way is passed over."""
    for directory in directories(environ):
        if not _distrusted(directory):
            yield from sorted(directory.glob(f"[0-9]*{SUFFIX}"))


def peer(connection: socket.socket) -> int:
    """Return the user at the other end of a Unix socket, as the system knows it."""
    if hasattr(socket, "SO_PEERCRED"):
        facts = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(facts[4:8], sys.byteorder)
    # macOS: LOCAL_PEERCRED gives a struct xucred, whose second word is the user (sys/un.h, sys/ucred.h).
    return int.from_bytes(connection.getsockopt(0, 1, 76)[4:8], sys.byteorder)


def _make(directory: Path) -> str:
    size = len(os.fsencode(directory / f"{2**22}-{'0' * 8}{SUFFIX}"))
    if size > _LONGEST_PATH:
        return f"a socket's path would have {size} bytes, the system allows {_LONGEST_PATH}"
    try:
        directory.mkdir(0o700)
    except FileExistsError:
        pass
    except OSError as error:
        return error.strerror or str(error)
    else:
        # The umask may have taken even our own rights away.
        directory.chmod(0o700)
    return _distrusted(directory)


def _distrusted(directory: Path) -> str:
    """Return why what is there is not a directory of ours alone; empty when it is."""
    try:
        found = directory.lstat()
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISDIR(found.st_mode):
        return "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""
