"""New directories and files for our user alone, whatever the umask: it may take even the owner's rights away."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from freshpg.core.faults import faultpoint


def make_directory(directory: Path, *, exist_ok: bool = False) -> None:
    """Make ``directory`` with mode 0700, and those missing above it; one that exists keeps its mode.

    Raises:
        FileExistsError: It exists, and that is not ``exist_ok``.
    """
    try:
        directory.mkdir(0o700)
    except FileNotFoundError:
        make_directory(directory.parent, exist_ok=True)
        make_directory(directory, exist_ok=exist_ok)
    except FileExistsError:
        if not exist_ok:
            raise
    else:
        faultpoint("private.directory_made")
        directory.chmod(0o700)


def make_draft(parent: Path, prefix: str) -> Path:
    """Make a directory with a name of its own in ``parent``."""
    draft = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    faultpoint("private.draft_made")
    draft.chmod(0o700)
    return draft


def make_locked_draft(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a directory with a name of its own, and return it with the lock that says its maker lives."""
    while True:
        draft = make_draft(parent, prefix)
        with suppress(FileNotFoundError):
            lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # A sweep may have come between making and locking it, and removes it or has done so.
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_still(lock, draft):
                    return draft, lock
            os.close(lock)


def sweep_drafts(place: Path, prefix: str) -> None:
    """Remove the drafts in ``place`` whose makers are dead."""
    for draft in place.glob(f"{prefix}*"):
        with suppress(OSError):
            lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft, ignore_errors=True)
            finally:
                os.close(lock)


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, whole or not at all.

    The draft has one name, under a lock: whoever is killed here leaves one file, which the next one writes over.

    Raises:
        OSError: It cannot be written, or another process writes it just now.
    """
    draft = path.with_name(f".{path.name}.draft")
    while True:
        handle = create(draft, os.O_WRONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_still(handle, draft):
                continue
            try:
                os.ftruncate(handle, 0)
                os.pwrite(handle, content, 0)
                faultpoint("private.draft_written")
                draft.rename(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        finally:
            os.close(handle)
        return


def is_still(handle: int, path: Path) -> bool:
    """Whether the open file is the one of that name: somebody may have renamed or removed it in between."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def create(path: Path, flags: int) -> int:
    """Open a file that is made with mode 0600; one that exists keeps its mode unless ``flags`` have O_EXCL."""
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        faultpoint("private.file_made")
        os.fchmod(handle, 0o600)
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise
    return handle
