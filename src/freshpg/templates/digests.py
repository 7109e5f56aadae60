"""Digests of contents: of texts, and of files with a memo that cannot be fooled by a quick edit."""

from __future__ import annotations

import hashlib
import os
import time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io
    from pathlib import Path

_SIZE = 16
_SMALL = 1 << 20
_YOUNG = 2_000_000_000
"""Nanoseconds. The coarsest time stamp of a file system in use is two seconds (FAT); an edit within the same tick
would leave size, time and inode as they were."""

# Kept at import: tests of users freeze or replace the functions of ``time``.
_time_ns = time.time_ns

_Identity = tuple[int, int, int, int, int]
_memo: dict[str, tuple[_Identity, str]] = {}
_lock = Lock()


def digest(*parts: str | bytes) -> str:
    """Return 32 hexadecimal digits over ``parts``; where one part ends matters, so nothing can be shifted."""
    state = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return 32 hexadecimal digits over the contents of a file; its name, mode and times do not matter.

    Raises:
        OSError: It cannot be read.
    """
    name = os.fspath(path)
    # The file is opened each time, so that one which may no longer be read is told at once. Unbuffered: hashlib reads
    # in pieces of its own, and a buffer a file is half the cost of small ones.
    with open(name, "rb", buffering=0) as stream:  # noqa: PTH123 (twice as fast as Path.open)
        before = _identity(os.fstat(stream.fileno()))
        known = _memo.get(name)
        if known and known[0] == before:
            return known[1]
        found = _hash(stream, before[2])
        after = _identity(os.fstat(stream.fileno()))
    if before == after and _is_settled(after):
        with _lock:
            _memo[name] = (after, found)
    return found


def _hash(stream: io.FileIO, size: int) -> str:
    if size <= _SMALL:
        # hashlib.file_digest sets up a buffer of 256 kB for every file.
        return hashlib.blake2b(stream.read(), digest_size=_SIZE).hexdigest()
    return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=_SIZE)).hexdigest()


def _identity(status: os.stat_result) -> _Identity:
    # ctime cannot be set back by touch, cp -p or git; mtime may.
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_settled(identity: _Identity) -> bool:
    # A stamp from the future (another machine's clock) counts as young: the next edit may get the same one.
    return _time_ns() - max(identity[3:]) > _YOUNG
