"""Commit records of WAL. Pure.

Source: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xact.h
"""

from __future__ import annotations

import struct
from typing import Final

COMMIT: Final = 0x00
COMMIT_PREPARED: Final = 0x30
KINDS: Final = 0x70
HAS_FLAGS: Final = 0x80

_TIME_BYTES: Final = 8
_NUMBER: Final = struct.Struct("=I")

_HAS_DATABASE: Final = 1 << 0
_HAS_SUBTRANSACTIONS: Final = 1 << 1
_HAS_FILES: Final = 1 << 2
_HAS_INVALIDATIONS: Final = 1 << 3
_HAS_TWO_PHASES: Final = 1 << 4
_HAS_STATISTICS: Final = 1 << 8

_DATABASE_BYTES: Final = 8
_FILE: Final = struct.Struct("=III")
_INVALIDATION_BYTES: Final = 16
STATISTICS_WITH_LONG_KEYS: Final = 18
"""From this major version on the entry of a dropped statistic is 16 bytes long, 12 before."""


def committed(data: bytes, xid: int, major: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the transactions that a commit record with flags ends, and database and number of the files it removes.

    Args:
        data: The record's own data.
        xid: The transaction that wrote it: that of a prepared one is in the data.
        major: Version of the server that wrote it.
    """
    (flags,) = _NUMBER.unpack_from(data, _TIME_BYTES)
    at = _TIME_BYTES + _NUMBER.size
    xids: list[int] = []
    files: list[tuple[int, int]] = []
    if flags & _HAS_DATABASE:
        at += _DATABASE_BYTES
    if flags & _HAS_SUBTRANSACTIONS:
        (count,) = _NUMBER.unpack_from(data, at)
        xids += struct.unpack_from(f"={count}I", data, at + 4)
        at += 4 + 4 * count
    if flags & _HAS_FILES:
        (count,) = _NUMBER.unpack_from(data, at)
        behind = at + 4 + _FILE.size * count
        files += [(one[1], one[2]) for one in _FILE.iter_unpack(data[at + 4 : behind])]
        at = behind
    if flags & _HAS_STATISTICS:
        (count,) = _NUMBER.unpack_from(data, at)
        at += 4 + (16 if major >= STATISTICS_WITH_LONG_KEYS else 12) * count
    if flags & _HAS_INVALIDATIONS:
        (count,) = _NUMBER.unpack_from(data, at)
        at += 4 + _INVALIDATION_BYTES * count
    if flags & _HAS_TWO_PHASES:
        (xid,) = _NUMBER.unpack_from(data, at)
    if xid:
        xids.append(xid)
    return xids, files
