"""An SQL file read line by line, so that a dump of any size needs little memory."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, BinaryIO

from freshpg.core.errors import MigrationUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

COPY_CHUNK = 1 << 18
"""Bytes of COPY data handed on at once, give or take a line."""

_COPY_ENDS = frozenset({b"\\.\n", b"\\.\r\n", b"\\.", b"\\.\r"})
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class SqlSource:
    """Lines of one file as text, and the COPY data between them as bytes.

    Args:
        stream: The file, opened in binary mode.
        name: How errors call it.

    Raises (while reading):
        MigrationUnreadable: The file is not UTF-8, holds a NUL, or ends inside COPY data.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.line = 0
        """Number of the line read last, from 1."""
        self._stream = stream
        self._offset = 0

    def __iter__(self) -> Iterator[str]:
        while raw := self._stream.readline():
            if self.line == 0:
                raw = self._without_byte_order_mark(raw)
            yield self._take(raw)

    def copy_data(self) -> Iterator[bytes]:
        r"""Yield the data up to the line ``\.`` in pieces that end at line ends, and step over that line.

        psql takes the end of the file for the end of the data; here it is an error, because pg_dump always writes
        ``\.`` and a file without it was cut off.
        """
        started = self.line + 1
        lines: list[bytes] = []
        size = 0
        while raw := self._stream.readline():
            if raw in _COPY_ENDS:
                yield from self._checked(lines)
                self._take(raw)
                return
            lines.append(raw)
            size += len(raw)
            if size >= COPY_CHUNK:
                yield from self._checked(lines)
                lines, size = [], 0
        raise MigrationUnreadable(
            "an SQL file was read",
            on=f"{self.name}:{started}",
            seen=r"the file ends inside COPY data: the line \. that ends the data is missing, so the file was cut off",
            todo=(r"write the file again, or add a line that holds only \. after the data",),
            file=self.name,
            line=started,
        )

    def _checked(self, lines: list[bytes]) -> Iterator[bytes]:
        if lines:
            data = b"".join(lines)
            self._take(data)
            yield data

    def _take(self, raw: bytes) -> str:
        """Decode whole lines and count them."""
        if b"\0" in raw:
            raise self._unreadable(
                raw, raw.index(b"\0"), "a NUL, which no text of PostgreSQL can hold"
            )
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            seen = f"the byte 0x{raw[error.start]:02x} is not UTF-8 ({error.reason})"
            raise self._unreadable(raw, error.start, seen) from None
        self._offset += len(raw)
        self.line += raw.count(b"\n") or 1
        return text

    def _without_byte_order_mark(self, raw: bytes) -> bytes:
        if raw.startswith(_UTF16):
            raise self._unreadable(raw, 0, "the byte order mark of UTF-16", encoding="UTF-16")
        if raw.startswith(codecs.BOM_UTF8):
            self._offset = len(codecs.BOM_UTF8)
            return raw.removeprefix(codecs.BOM_UTF8) or b"\n"
        return raw

    def _unreadable(
        self, raw: bytes, index: int, seen: str, encoding: str = "LATIN1"
    ) -> MigrationUnreadable:
        line = self.line + 1 + raw.count(b"\n", 0, index)
        offset = self._offset + index
        return MigrationUnreadable(
            "an SQL file was read as UTF-8",
            on=f"{self.name}:{line}",
            seen=f"byte {offset} of the file (counted from 0): {seen}",
            todo=(
                f"convert the file, for example: iconv -f {encoding} -t UTF-8 (name the encoding it really has)",
                "write a dump with: pg_dump --encoding=UTF8 --format=plain",
            ),
            file=self.name,
            line=line,
            offset=offset,
        )
