"""Pages of WAL into records. Pure.

Every record is checked for its length and for the position of the one before it, so a chain of them is either whole or
refused. Its CRC-32C is not checked: in Python that would cost more than all the rest together, and it is there to find
the end of what a crash left, while what is read here was flushed by a server that is alive.

Source: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlogrecord.h
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from freshpg.postgres.wal.pages import UnreadableError
from freshpg.postgres.wal.position import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from freshpg.postgres.wal.pages import Pages

Record = tuple[int, int, int, bytes]
"""Resource manager, kind (the high four bits of its flags), transaction, and all its bytes."""

XLOG: Final = 0
SWITCH: Final = 0x40

HEADER_BYTES: Final = 24
# In order: length, transaction, position of the record before, flags, resource manager.
_HEADER: Final = struct.Struct("=IIQBB")
_LENGTH: Final = struct.Struct("=I")


def records(pages: Pages, start: int, end: int, *, skip: Container[int]) -> Iterator[Record]:
    """Yield the records between two positions, those of the resource managers in ``skip`` left out.

    Args:
        pages: From the one that holds ``start``.
        start: Where a record begins; before the header where that is at the beginning of a page.
        end: Where one ends, likewise.
        skip: Resource managers.

    Raises:
        UnreadableError: A record or a page does not follow the one before it, or a record goes beyond ``end``.
    """
    data, base, segment_size = pages.data, pages.base, pages.segment_size
    header, length_of = _HEADER.unpack_from, _LENGTH.unpack_from
    at, before = start, -1
    while at < end:
        room = PAGE_BYTES - at % PAGE_BYTES
        if room == PAGE_BYTES:
            at += pages.begin(at)
            continue
        here, offset = at, at - base
        (length,) = length_of(data, offset)
        if length > room:
            record, at = pages.across(here)
            _, xid, previous, flags, manager = header(record)
        else:
            at += (length + 7) & ~7
            _, xid, previous, flags, manager = header(data, offset)
            record = b"" if manager in skip else data[offset : offset + length]
        if (
            length < HEADER_BYTES
            or at > end
            or (previous != before and (before >= 0 or previous >= here))
        ):
            raise UnreadableError("a record does not follow the one before it")
        before = here
        if manager in skip:
            continue
        kind = flags & 0xF0
        yield manager, kind, xid, record
        if manager == XLOG and kind == SWITCH:
            # What is left of the segment stays empty, its pages have no headers.
            # https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/access/transam/xlogreader.c
            at += -at % segment_size
    if at != end:
        raise UnreadableError("the last record ends elsewhere")
