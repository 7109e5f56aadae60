"""Which relations of one database WAL says were changed.

Numbers of resource managers:
https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/rmgrlist.h
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freshpg.postgres.wal import commits
from freshpg.postgres.wal.content import MAIN_FORK, content, first_relation
from freshpg.postgres.wal.pages import Pages, UnreadableError
from freshpg.postgres.wal.position import PAGE_BYTES, before_header
from freshpg.postgres.wal.records import XLOG, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.postgres.wal.source import WalSource

_XACT, _SMGR, _CLOG, _DBASE, _TBLSPC, _MULTIXACT, _RELMAP, _STANDBY, _HEAP2, _HEAP = range(1, 11)
_BTREE, _HASH, _GIN, _GIST, _SEQ, _SPGIST, _BRIN, _COMMIT_TS, _REPLORIGIN, _GENERIC, _LOGICALMSG = range(11, 22)  # fmt: skip

_HARMLESS: Final = frozenset(
    {_CLOG, _MULTIXACT, _STANDBY, _COMMIT_TS, _REPLORIGIN, _LOGICALMSG,
     _BTREE, _HASH, _GIN, _GIST, _SPGIST, _BRIN}
)  # fmt: skip
"""Book-keeping of transactions, and indexes: what is in them was in a table's record before."""

# https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/heapam_xlog.h
_HEAP_INSERT, _HEAP_DELETE, _HEAP_UPDATE, _HEAP_TRUNCATE, _HEAP_HOT_UPDATE, _HEAP_CONFIRM = range(0x00, 0x60, 0x10)  # fmt: skip
_HEAP2_REWRITE: Final = 0x00
_HEAP2_MULTI_INSERT: Final = 0x50
_ON_NEW_PAGE: Final = 0x80
_ROWS: Final = frozenset(
    manager << 8 | kind | flag
    for manager, kind in (
        *((_HEAP, kind) for kind in (_HEAP_INSERT, _HEAP_DELETE, _HEAP_UPDATE, _HEAP_HOT_UPDATE, _HEAP_CONFIRM)),
        (_HEAP2, _HEAP2_MULTI_INSERT),
    )
    for flag in (0, _ON_NEW_PAGE)
)  # fmt: skip
"""Records that change rows. The others of a table lock rows, prune, freeze, mark pages or update in place, which VACUUM,
ANALYZE and the like do to rows of catalogs."""

# https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_control.h
_FULL_PAGE: Final = 0xB0
_XLOG_KNOWN: Final = frozenset({*range(0x00, 0xC0, 0x10), 0xD0, 0xE0})

# https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/storage_xlog.h
_SMGR_CREATE: Final = 0x10
_SMGR_TRUNCATE: Final = 0x20

# https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/commands/dbcommands_xlog.h
_DBASE_KNOWN: Final = {0x00: "copied", 0x10: "created", 0x20: "dropped"}

_NUMBER: Final = struct.Struct("=I")
_RELATION: Final = struct.Struct("=III")


@dataclass(frozen=True, slots=True)
class Touched:
    """What happened between two positions.

    Attributes:
        relations: Numbers of the files of the database's relations, catalogs and TOAST tables included, whose rows were
            written to. An index is in it only when it is new, or one of an extension: it follows its table.
        sequences: The same for sequences.
        shared: The same for relations that all databases share.
        commits: Transactions and subtransactions that were committed, in any database.
        structural: Empty, or the first thing seen that concerns the database and is more than rows.
        size: Bytes of WAL.
    """

    relations: frozenset[int]
    sequences: frozenset[int]
    shared: frozenset[int]
    commits: frozenset[int]
    structural: str
    size: int


def read_touched(source: WalSource, start: int, end: int, database: int) -> Touched | None:
    """Return what was touched in the database with that oid from ``start`` up to ``end``.

    Both are ends or beginnings of records, as the server's functions return them; everything before ``end`` has been
    flushed, see :func:`freshpg.postgres.wal.source.flush_statement`. Work grows with the bytes between them.

    Returns:
        None when the WAL is not there any more, or not whole, or of a version that is not known.
    """
    segment_size = source.segment_size
    first, behind = before_header(start, segment_size), before_header(end, segment_size)
    if first == behind:
        return Touched(frozenset(), frozenset(), frozenset(), frozenset(), "", end - start)
    if first > behind or first % 8:
        return None
    data = source.read(first, behind)
    base = first - first % PAGE_BYTES
    if data is None or len(data) != behind - base:
        return None
    reader = _Reader(database)
    try:
        reader.read(Pages(data, base, segment_size), first, behind)
    except (UnreadableError, struct.error, IndexError):
        return None
    return reader.touched(end - start)


class _Reader:
    def __init__(self, database: int) -> None:
        self._database = database
        self._major = 0
        self._files: dict[int, set[int]] = {database: set(), 0: set()}
        self._sequences: set[int] = set()
        self._commits: set[int] = set()
        self._structural = ""
        self._rare: dict[int, Callable[[int, int, bytes], None]] = {
            XLOG: self._xlog,
            _SMGR: self._storage,
            _DBASE: self._databases,
            _TBLSPC: self._tablespace,
            _RELMAP: self._catalog_files,
            _HEAP: self._heap,
            _HEAP2: self._heap,
            _GENERIC: self._pages,
        }

    def read(self, pages: Pages, start: int, end: int) -> None:
        self._major = pages.major()
        files, rare = self._files, self._rare
        for manager, kind, xid, record in records(pages, start, end, skip=_HARMLESS):
            if manager << 8 | kind in _ROWS:
                database, file = first_relation(record)
                if database in files:
                    files[database].add(file)
            elif manager == _XACT:
                self._transaction(kind, xid, record)
            elif manager == _SEQ:
                database, file = first_relation(record)
                if database == self._database:
                    self._sequences.add(file)
            else:
                rare.get(manager, self._unknown)(manager, kind, record)

    def touched(self, size: int) -> Touched:
        return Touched(
            frozenset(self._files[self._database]),
            frozenset(self._sequences),
            frozenset(self._files[0]),
            frozenset(self._commits),
            self._structural,
            size,
        )

    def _transaction(self, kind: int, xid: int, record: bytes) -> None:
        what = kind & commits.KINDS
        if what == commits.KINDS:
            self._unknown(_XACT, kind, record)
        elif what not in {commits.COMMIT, commits.COMMIT_PREPARED}:
            return
        elif not kind & commits.HAS_FLAGS:
            self._commits.add(xid)
        else:
            xids, removed = commits.committed(content(record)[1], xid, self._major)
            self._commits.update(xids)
            for database, file in removed:
                if database == self._database:
                    self._found(f"file {file} was removed")

    def _heap(self, manager: int, kind: int, record: bytes) -> None:
        if manager == _HEAP and kind & ~_ON_NEW_PAGE == _HEAP_TRUNCATE:
            self._concerns(record, 0, "tables were truncated")
        elif manager == _HEAP2 and kind & ~_ON_NEW_PAGE == _HEAP2_REWRITE:
            self._concerns(record, 4, "a table was rewritten")

    def _xlog(self, manager: int, kind: int, record: bytes) -> None:
        if kind == _FULL_PAGE:
            self._pages(manager, kind, record)
        elif kind not in _XLOG_KNOWN:
            self._unknown(manager, kind, record)

    def _pages(self, _manager: int, _kind: int, record: bytes) -> None:
        """Take every page of rows that a record replaces or changes as written to."""
        for database, file, fork in content(record)[0]:
            if database in self._files and fork == MAIN_FORK:
                self._files[database].add(file)

    def _storage(self, manager: int, kind: int, record: bytes) -> None:
        if kind == _SMGR_CREATE:
            offset, done = 0, "created"
        elif kind == _SMGR_TRUNCATE:
            offset, done = 4, "shortened"
        else:
            self._unknown(manager, kind, record)
            return
        _, database, file = _RELATION.unpack_from(content(record)[1], offset)
        if database in self._files:
            self._found(f"file {file} was {done}")

    def _databases(self, manager: int, kind: int, record: bytes) -> None:
        if kind in _DBASE_KNOWN:
            self._concerns(record, 0, f"the database was {_DBASE_KNOWN[kind]}")
        else:
            self._unknown(manager, kind, record)

    def _catalog_files(self, _manager: int, _kind: int, record: bytes) -> None:
        self._concerns(record, 0, "files of catalogs were exchanged")

    def _tablespace(self, _manager: int, _kind: int, _record: bytes) -> None:
        self._found("a tablespace was created or dropped")

    def _unknown(self, manager: int, kind: int, _record: bytes) -> None:
        """Take a record that nobody here knows for a change of any kind: extensions have their own."""
        self._found(f"a record of an unknown kind ({manager}/{kind:#04x})")

    def _concerns(self, record: bytes, offset: int, what: str) -> None:
        """Note something if the database that the record's own data names is ours, or all."""
        (database,) = _NUMBER.unpack_from(content(record)[1], offset)
        if database in self._files:
            self._found(what)

    def _found(self, what: str) -> None:
        self._structural = self._structural or what
