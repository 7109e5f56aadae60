"""One builder a key, however many processes ask; a dead builder's lock is free at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import WaitTimedOut
from freshpg.core.faults import faultpoint
from freshpg.servers import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from freshpg.core.clock import Deadline

LOCK: Final = ".lock-"
_TRY_EVERY_SECONDS: Final = 0.02
_SAY_EVERY_SECONDS: Final = 1.0


@contextlib.contextmanager
def build_lock(
    path: Path, deadline: Deadline, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock file at ``path``; while another process holds it, tell ``waiting`` so once a second.

    Raises:
        WaitTimedOut: It was not to be had before ``deadline``; names its holder.
    """
    handle = _acquire(path, deadline, waiting or _say_nothing)
    try:
        # Only for those who wait: a full disk must not keep the holder from its work.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        faultpoint("build.locked")
        yield
    finally:
        os.close(handle)


def remove_if_free(path: Path) -> None:
    """Remove a lock file that nobody holds."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(handle)


def _acquire(path: Path, deadline: Deadline, waiting: Callable[[str], None]) -> int:
    said = 0.0
    while True:
        handle = private.create(path, os.O_RDWR)
        if _try_lock(handle) and private.is_still(handle, path):
            return handle
        holder = os.pread(handle, 32, 0).decode(errors="replace") or "unknown"
        os.close(handle)
        if deadline.expired:
            raise _timed_out(path, holder, deadline)
        if deadline.elapsed - said >= _SAY_EVERY_SECONDS:
            said = deadline.elapsed
            waiting(f"waiting for process {holder}, which makes the same image ({said:.0f} s)")
        deadline.clock.sleep(_TRY_EVERY_SECONDS)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise
        return False
    return True


def _timed_out(path: Path, holder: str, deadline: Deadline) -> WaitTimedOut:
    return WaitTimedOut(
        "another process makes the same image, and was waited for",
        on=str(path),
        seen=f"process {holder} still holds the lock after {deadline.seconds:.0f} s",
        todo=(
            f"see what process {holder} does; ending it frees the lock at once",
            "raise the deadline",
        ),
        holder=holder,
    )


def _say_nothing(_: str) -> None:
    return
