"""What a WAL record holds: the pages it names, and its own data. Pure.

Source: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlogrecord.h
"""

from __future__ import annotations

import struct
from typing import Final

from freshpg.postgres.wal.pages import UnreadableError
from freshpg.postgres.wal.records import HEADER_BYTES

Block = tuple[int, int, int]
"""Database (0 where all share the relation), file number and fork of a page."""

MAIN_FORK: Final = 0

_BLOCK: Final = struct.Struct("=BBH")
_IMAGE: Final = struct.Struct("=HHB")
# In order: tablespace, database, file number.
_RELATION: Final = struct.Struct("=III")
_LONG_LENGTH: Final = struct.Struct("=I")
_BLOCK_NUMBER_BYTES: Final = 4

_FORK: Final = 0x0F
_HAS_IMAGE: Final = 0x10
_SAME_RELATION: Final = 0x80
_HAS_HOLE: Final = 0x01
_COMPRESSED: Final = 0x04 | 0x08 | 0x10

_LAST_BLOCK: Final = 32
_TOPLEVEL: Final = 252
_ORIGIN: Final = 253
_LONG_DATA: Final = 254
_SHORT_DATA: Final = 255
_OTHER_PARTS: Final = {_TOPLEVEL: 5, _ORIGIN: 3}


def first_relation(record: bytes) -> tuple[int, int]:
    """Return database and file number of the first page that a record names; :func:`content` in short, for many.

    Raises:
        UnreadableError: It names none.
    """
    if record[HEADER_BYTES]:
        raise UnreadableError("a record names no page")
    at = HEADER_BYTES + _BLOCK.size
    if record[HEADER_BYTES + 1] & _HAS_IMAGE:
        at += _image_header(record, at)[0]
    _, database, file = _RELATION.unpack_from(record, at)
    return database, file


def content(record: bytes) -> tuple[list[Block], bytes]:
    """Return the pages that a record names, and its own data.

    Raises:
        UnreadableError: Its parts do not add up to its length.
    """
    blocks: list[Block] = []
    database = file = 0
    at, lengths, main = HEADER_BYTES, 0, 0
    # As long as there is more than what the headers seen so far announce, another header follows.
    while len(record) - at > lengths:
        kind = record[at]
        if kind <= _LAST_BLOCK:
            _, flags, length = _BLOCK.unpack_from(record, at)
            at += _BLOCK.size
            if flags & _HAS_IMAGE:
                header, image = _image_header(record, at)
                at += header
                lengths += image
            if not flags & _SAME_RELATION:
                _, database, file = _RELATION.unpack_from(record, at)
                at += _RELATION.size
            at += _BLOCK_NUMBER_BYTES
            lengths += length
            blocks.append((database, file, flags & _FORK))
        elif kind in _OTHER_PARTS:
            at += _OTHER_PARTS[kind]
        elif kind in {_SHORT_DATA, _LONG_DATA}:
            short = kind == _SHORT_DATA
            main = record[at + 1] if short else _LONG_LENGTH.unpack_from(record, at + 1)[0]
            at += 2 if short else 5
            lengths += main
            break
        else:
            raise UnreadableError("a record has a part of an unknown kind")
    if len(record) - at != lengths:
        raise UnreadableError("the parts of a record do not add up to its length")
    return blocks, record[len(record) - main :]


def _image_header(record: bytes, at: int) -> tuple[int, int]:
    """Return the sizes of a page image's header and of the image."""
    length, _, flags = _IMAGE.unpack_from(record, at)
    return _IMAGE.size + (2 if flags & _HAS_HOLE and flags & _COMPRESSED else 0), length
