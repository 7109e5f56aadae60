"""What the system ran out of, as an error that says so: no bare ``OSError`` reaches a user for it."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import DiskFull, PathUnusable, SystemLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.errors import FreshpgError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNUSABLE: Final = frozenset({errno.EROFS, errno.EIO})
_NO_THREAD: Final = "can't start new thread"
_LIMITS: Final = {
    errno.EMFILE: "raise the limit of open files of this process: ulimit -n",
    errno.ENFILE: "the whole machine has too many open files: look for a program that leaks them",
    errno.EAGAIN: "raise the limit of processes: ulimit -u, or the container's pids limit",
    errno.ENOMEM: "give the machine or the container more memory",
}


@contextmanager
def shortages_named(failed: str) -> Iterator[None]:
    """Raise what the system ran out of in the body as one of our errors.

    Args:
        failed: What was being done.

    Raises:
        DiskFull: There was no space, or the quota is used up.
        SystemLimit: Open files, processes or memory.
        PathUnusable: A disk became read-only, or fails.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        named = shortage(error, failed)
        if named is None:
            raise
        raise named from error


def shortage(error: OSError | RuntimeError, failed: str) -> FreshpgError | None:
    """Return what the system ran out of as one of our errors; None for all else."""
    if isinstance(error, RuntimeError):
        # What Python makes of a thread that the system refuses.
        if _NO_THREAD not in str(error):
            return None
        error = OSError(errno.EAGAIN, str(error))
    on = str(error.filename or "")
    if error.errno in _FULL:
        free = _free_at(on)
        return DiskFull(
            failed,
            on=on,
            seen=str(error.strerror) if free is None else f"{error.strerror}: {free >> 20} MB free",
            todo=(
                "free space there, or set FRESHPG_RUNTIME and FRESHPG_CACHE to directories with room",
                "freshpg clean removes what is not used",
            ),
            free=free,
        )
    if error.errno in _UNUSABLE:
        return PathUnusable(
            failed,
            on=on,
            seen=str(error.strerror),
            todo=(
                "look into the system's log for this disk",
                "set FRESHPG_RUNTIME and FRESHPG_CACHE to another one",
            ),
            path=on,
        )
    if error.errno in _LIMITS:
        return SystemLimit(
            failed,
            on=on,
            seen=str(error.strerror),
            todo=(_LIMITS[error.errno], "freshpg doctor checks directories and limits"),
            errno=error.errno,
        )
    return None


def _free_at(path: str) -> int | None:
    """Return the bytes free where a file could not be written; None where that is not known."""
    place = Path(path)
    if not place.is_absolute():
        return None
    for known in (place, *place.parents):
        with suppress(OSError):
            return shutil.disk_usage(known).free
    return None
