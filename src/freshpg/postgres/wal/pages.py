"""Pages of WAL: their headers, and what is cut by them. Pure.

Every page is checked for its version and its own address, so a segment that was recycled is noticed: what is left in
it of its former use has other addresses.

Source: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlog_internal.h
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import Final

from freshpg.postgres.wal.position import PAGE_BYTES, header_bytes

MAGICS: Final = {0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}
"""What the pages of each major version begin with; minor versions cannot change it."""

# In order: magic, flags, timeline, address of the page, bytes left of a record that began before it.
_HEADER: Final = struct.Struct("=HHIQI")
_CONTINUES: Final = 0x0001
_LONG: Final = 0x0002
_LOST_BEGINNING: Final = 0x0008
_LENGTH: Final = struct.Struct("=I")


class UnreadableError(ValueError):
    """The bytes are not the unbroken chain of records they should be."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Bytes of WAL that begin with a page.

    Attributes:
        data: The bytes.
        base: Position of the first one.
        segment_size: In bytes; a segment's first page has a longer header.
    """

    data: bytes
    base: int
    segment_size: int

    def major(self) -> int:
        """Return the major version of the server that wrote the first page.

        Raises:
            UnreadableError: It is not the page that should be there, or of a version that is not known.
        """
        self.left(self.base)
        return MAGICS[int.from_bytes(self.data[:2], sys.byteorder)]

    def begin(self, page: int) -> int:
        """Return the size of the header of the page at a position, where no record goes on from the page before.

        Raises:
            UnreadableError: One does, or it is not the page that should be there.
        """
        if self.left(page):
            raise UnreadableError("a page goes on with a record that was not seen to begin")
        return header_bytes(page, self.segment_size)

    def left(self, page: int) -> int:
        """Return how many bytes of a record begun earlier the page at a position goes on with.

        Raises:
            UnreadableError: It is not the page that should be there.
        """
        try:
            magic, flags, _, address, left = _HEADER.unpack_from(self.data, page - self.base)
        except struct.error:
            raise UnreadableError("a page is missing") from None
        if address != page or magic not in MAGICS or flags & _LOST_BEGINNING:
            raise UnreadableError("another page was expected")
        if bool(flags & _LONG) == bool(page % self.segment_size):
            raise UnreadableError("segments have another size")
        return int(left) if flags & _CONTINUES else 0

    def across(self, at: int) -> tuple[bytes, int]:
        """Return the record at a position that goes on behind its page, in one piece, and where the next one begins.

        Raises:
            UnreadableError: The pages behind do not go on with it.
        """
        offset = at - self.base
        (left,) = _LENGTH.unpack_from(self.data, offset)
        room = PAGE_BYTES - at % PAGE_BYTES
        pieces = [self.data[offset : offset + room]]
        left -= room
        at += room
        while left > 0:
            if self.left(at) != left:
                raise UnreadableError("a page does not go on with the record before it")
            header = header_bytes(at, self.segment_size)
            offset = at - self.base + header
            taken = min(left, PAGE_BYTES - header)
            pieces.append(self.data[offset : offset + taken])
            left -= taken
            at += header + taken
        return b"".join(pieces), (at + 7) & ~7
