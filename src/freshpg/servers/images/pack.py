"""A data directory as one file: fast to copy out, cheap to store, whole or recognisably not.

A pack is the contents of all files, each from a 4096-byte boundary on, then an index, then a trailer. One open file
serves the whole copy: per file of the data directory only create, write and close remain, the source costs no look-up,
and a cache on a slow disk holds one file instead of a thousand. Equal contents are kept once: the databases of a
cluster differ in little. The alignment lets file systems share the blocks (FICLONERANGE) instead of copying them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import stat
import struct
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from freshpg.core.errors import ImageInvalid
from freshpg.core.faults import faultpoint
from freshpg.servers import private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BLOCK: Final = 4096
# Below this, sharing blocks costs more than copying them.
_SHARE_FROM: Final = 256 * 1024
_CHUNK: Final = 1 << 20
_WRITE_LIMIT: Final = 1 << 30

_TRAILER: Final = struct.Struct("<8sQQ")
_MAGIC: Final = b"freshpg\x01"

# _IOW(0x94, 13, struct file_clone_range). Source: linux/fs.h
_FICLONERANGE: Final = 0x4020940D
_CLONE_RANGE: Final = struct.Struct("=qQQQ")


@dataclass(frozen=True, slots=True)
class PackSummary:
    """What was packed; sizes in bytes."""

    pack_bytes: int
    data_bytes: int
    file_count: int
    checksum: int


#: Name, size and offset of a file.
Entry: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Index:
    """Name, size and place of every file, by directory (relative, parents first, "" for the top)."""

    directories: Mapping[str, list[Entry]]

    def offset(self, path: str) -> int:
        """Return where the contents of one file begin; -1 when there is none of that path."""
        directory, _, wanted = path.rpartition("/")
        files = self.directories.get(directory, [])
        return next((offset for name, _, offset in files if name == wanted), -1)


def write_pack(source: Path, out: BinaryIO) -> PackSummary:
    """Write all of ``source`` to ``out``.

    Raises:
        ImageInvalid: Something in it is neither a file nor a directory, such as a tablespace.
        OSError: It could not be read or written.
    """
    directories: dict[str, list[Entry]] = {}
    writer = _Writer(out)
    for relative, names in _walk(source):
        directories[relative] = [(name, *writer.copy(source / relative / name)) for name in names]
    count = sum(len(files) for files in directories.values())
    data_bytes = sum(size for files in directories.values() for _, size, _ in files)
    index = json.dumps(directories, separators=(",", ":")).encode()
    position = writer.written
    writer.write(index)
    writer.write(_TRAILER.pack(_MAGIC, position, len(index)))
    return PackSummary(writer.written, data_bytes, count, writer.checksum)


def read_index(pack: int) -> Index:
    """Return the index of an open pack.

    Raises:
        ImageInvalid: It is not a whole pack, or its names would lead out of the target.
    """
    size = os.fstat(pack).st_size
    trailer = os.pread(pack, _TRAILER.size, max(0, size - _TRAILER.size))
    if len(trailer) < _TRAILER.size or not trailer.startswith(_MAGIC):
        raise _damaged("its trailer is missing")
    _, position, length = _TRAILER.unpack(trailer)
    try:
        directories = json.loads(os.pread(pack, length, position))
        index = Index(
            {
                directory: [(str(name), int(size), int(offset)) for name, size, offset in files]
                for directory, files in directories.items()
            }
        )
    except (ValueError, TypeError, AttributeError):
        raise _damaged("its index cannot be read") from None
    _check_names(index)
    if any(offset < 0 or offset + size > position for _, size, offset in _entries(index)):
        raise _damaged("its index points outside of its contents")
    return index


def unpack(pack: int, index: Index, target: Path, owner: tuple[int, int] | None = None) -> None:
    """Fill ``target``, an empty directory, with everything in the pack; all of it private to ``owner``.

    Raises:
        OSError: It could not be written; what was made so far is left to the caller.
    """
    source = _Source(pack)
    narrowed: bool | None = None
    try:
        for relative, files in index.directories.items():
            place = target / relative
            if relative:
                private.make_directory(place)
            here = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for name, size, offset in files:
                    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=here)
                    try:
                        # A call a file less: a umask that takes the owner's rights is next to unheard of.
                        if narrowed is None:
                            narrowed = os.fstat(handle).st_mode & 0o600 != 0o600
                        if narrowed:
                            os.fchmod(handle, 0o600)
                        if size:
                            source.copy(handle, offset, size)
                        if owner is not None:
                            os.fchown(handle, *owner)
                    finally:
                        os.close(handle)
                faultpoint("unpack.directory_filled")
                if owner is not None:
                    os.fchown(here, *owner)
            finally:
                os.close(here)
    finally:
        source.close()


def checksum(pack: int) -> int:
    """Return the CRC-32 of everything in an open pack."""
    value, offset = 0, 0
    while chunk := os.pread(pack, _CHUNK, offset):
        value = zlib.crc32(chunk, value)
        offset += len(chunk)
    return value


class _Source:
    """The contents of a pack."""

    def __init__(self, pack: int) -> None:
        self._pack = pack
        self._map = mmap.mmap(pack, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        self._view = memoryview(self._map)
        self._may_share = sys.platform == "linux"

    def copy(self, handle: int, start: int, size: int) -> None:
        if self._may_share and size >= _SHARE_FROM and size % BLOCK == 0:
            if self._share(handle, start, size):
                return
            self._may_share = False
        end = start + size
        while start < end:
            start += os.write(handle, self._view[start : min(end, start + _WRITE_LIMIT)])

    def _share(self, handle: int, start: int, size: int) -> bool:
        try:
            fcntl.ioctl(handle, _FICLONERANGE, _CLONE_RANGE.pack(self._pack, start, size, 0))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
                raise
            return False
        return True

    def close(self) -> None:
        self._view.release()
        self._map.close()


class _Writer:
    """A stream that counts and sums what passes, and knows where equal contents already are."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._known: dict[bytes, int] = {}
        self.written = 0
        self.checksum = 0

    def write(self, content: bytes) -> None:
        self._out.write(content)
        self.written += len(content)
        self.checksum = zlib.crc32(content, self.checksum)

    def copy(self, file: Path) -> tuple[int, int]:
        """Make sure the contents of a file are there; return its size and where they begin."""
        with file.open("rb", buffering=0) as source:
            chunk = source.read(_CHUNK)
            if len(chunk) < _CHUNK:
                return len(chunk), self._once(chunk)
            size, offset = 0, self.written
            while chunk:
                size += len(chunk)
                self.write(chunk)
                chunk = source.read(_CHUNK)
        self.write(bytes(-size % BLOCK))
        return size, offset

    def _once(self, content: bytes) -> int:
        digest = hashlib.sha256(content).digest()
        if digest not in self._known:
            self._known[digest] = self.written
            self.write(content + bytes(-len(content) % BLOCK))
        return self._known[digest]


def _walk(source: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each directory, parents first, with the names of its files."""
    pending = [""]
    while pending:
        relative = pending.pop()
        names: list[str] = []
        with os.scandir(source / relative) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{relative}/{entry.name}".lstrip("/"))
                elif entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
                elif not stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                    raise _not_packable(source, f"{relative}/{entry.name}".lstrip("/"))
        yield relative, names


def _check_names(index: Index) -> None:
    made: set[str] = set()
    for directory, files in index.directories.items():
        parent, _, last = directory.rpartition("/")
        sound = directory == "" if not made else parent in made and _is_name(last)
        if not sound or not all(_is_name(name) and size >= 0 for name, size, _ in files):
            raise _damaged(f"its index names something outside of it, or twice: {directory}")
        made.add(directory)


def _entries(index: Index) -> Iterator[Entry]:
    return (entry for files in index.directories.values() for entry in files)


def _is_name(name: str) -> bool:
    return name not in {"", ".", ".."} and not {"/", "\0"} & set(name)


def _damaged(seen: str) -> ImageInvalid:
    return ImageInvalid("the file with an image's contents was opened", seen=seen)


def _not_packable(source: Path, name: str) -> ImageInvalid:
    with contextlib.suppress(OSError):
        name = f"{name} -> {(source / name).readlink()}"
    return ImageInvalid(
        "a data directory was to be sealed",
        on=str(source),
        seen=f"{name} is neither a file nor a directory",
        todo=("remove CREATE TABLESPACE from the migrations: an image is one directory",),
    )
