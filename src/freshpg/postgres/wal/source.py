"""Where WAL is read from: the server's own files, or through a connection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from freshpg.core.errors import FreshpgError
from freshpg.postgres.wal.position import PAGE_BYTES, segment_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freshpg.postgres.admin import Admin

FLUSHES_BY_ARGUMENT = 170000
"""From this version on ``pg_logical_emit_message`` flushes when told so; before, the commit after it does."""


def flush_statement(server_version: int) -> str:
    """Return an SQL expression that writes all WAL so far to its files, and is the position up to which it can be read.

    Before PostgreSQL 17 the files have it when the statement's transaction has been committed, and only with
    ``synchronous_commit = on`` in the session.
    https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
    """
    if server_version >= FLUSHES_BY_ARGUMENT:
        return "pg_catalog.pg_logical_emit_message(false, 'freshpg', '', true)"
    return "pg_catalog.pg_logical_emit_message(true, 'freshpg', '')"


class WalSource(Protocol):
    """Gives the bytes of WAL. Not for several threads at once."""

    @property
    def segment_size(self) -> int:
        """Bytes of a segment."""

    def read(self, start: int, end: int) -> bytes | None:
        """Return the bytes from the beginning of the page that holds ``start`` up to ``end``; None if any are gone."""

    def close(self) -> None:
        """Let go of what it holds; again is fine, and so is reading afterwards."""


class LocalWal:
    """Reads the files in a data directory on this machine; the segment read last stays open.

    Args:
        data_directory: The server's.
        segment_size: Its ``wal_segment_size`` in bytes.
        timeline: Its timeline; only a server that was recovered from an archive or promoted has another than 1.
    """

    def __init__(self, data_directory: Path, segment_size: int, timeline: int = 1) -> None:
        self.segment_size = segment_size
        self._directory = os.fspath(data_directory / "pg_wal")
        self._timeline = timeline
        self._name = ""
        self._descriptor = -1

    def read(self, start: int, end: int) -> bytes | None:
        """Return the bytes, see :class:`WalSource`."""
        found = []
        for name, offset, length in _pieces(start, end, self.segment_size, self._timeline):
            try:
                piece = os.pread(self._open(name), length, offset)
            except OSError:
                return None
            if len(piece) < length:
                return None
            found.append(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """Close the file; again is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._name, self._descriptor = "", -1

    def _open(self, name: str) -> int:
        # A file without a name is a segment that the server removed, or that of a server which is no more.
        if name != self._name or not os.fstat(self._descriptor).st_nlink:
            self.close()
            self._descriptor = os.open(f"{self._directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            self._name = name
        return self._descriptor


class SqlWal:
    """Reads through a control connection, which needs the right to :func:`pg_read_binary_file`; see :meth:`usable`.

    Raises:
        FreshpgError: The server does not tell where it writes, because it is a standby.
    """

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        row = admin.one(_PLACE)
        assert row is not None  # noqa: S101 (the query has no FROM)
        self.segment_size = int(row[0])
        self._timeline = int(row[1][:8], 16)

    @staticmethod
    def usable(admin: Admin) -> bool:
        """Whether the server lets us, found out by reading a byte."""
        try:
            return len(admin.value(_TRIAL) or b"") == 1
        except FreshpgError:
            return False

    def read(self, start: int, end: int) -> bytes | None:
        """Return the bytes, see :class:`WalSource`.

        Raises:
            FreshpgError: The connection is gone, or the right to read.
        """
        pieces = list(_pieces(start, end, self.segment_size, self._timeline))
        calls = ", ".join(["pg_catalog.pg_read_binary_file(%s, %s, %s, true)"] * len(pieces))
        params = [
            part for name, offset, length in pieces for part in (f"pg_wal/{name}", offset, length)
        ]
        found = self._admin.one(f"SELECT {calls}", params) or ()
        lengths = [length for _, _, length in pieces]
        if [len(piece or b"") for piece in found] != lengths:
            return None
        return b"".join(found)

    def close(self) -> None:
        """Nothing: the connection is its owner's."""


_PLACE = """
SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')),
       pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())
"""

_TRIAL = """
SELECT CASE WHEN pg_catalog.has_function_privilege(
              'pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')
            THEN pg_catalog.pg_read_binary_file(
              'pg_wal/' || pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_flush_lsn()), 0, 1, true) END
"""


def _pieces(
    start: int, end: int, segment_size: int, timeline: int
) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and length of the parts of segments that a range consists of, its first page whole."""
    at = start - start % PAGE_BYTES
    while at < end:
        offset = at % segment_size
        length = min(segment_size - offset, end - at)
        yield segment_name(at, segment_size, timeline), offset, length
        at += length
