"""Everything that is written to a database by name, and the bytes of WAL that say so."""

from __future__ import annotations

from pathlib import Path

from freshpg.postgres.wal.position import parse_lsn
from freshpg.postgres.wal.source import LocalWal, SqlWal, flush_statement
from freshpg.postgres.wal.touched import read_touched

SEGMENT_SIZE = "SELECT pg_size_bytes(current_setting('wal_segment_size'))"

# Indexes go by their table, a TOAST table by its owner.
FILES = """
SELECT pg_relation_filenode(c.oid), coalesce(owner.relname, heap.relname)
  FROM pg_class c
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
  JOIN pg_class heap ON heap.oid = coalesce(i.indrelid, c.oid)
  LEFT JOIN pg_class owner ON owner.reltoastrelid = heap.oid
 WHERE pg_relation_filenode(c.oid) IS NOT NULL AND c.relisshared = %s
"""


class Written:
    """What was touched while something was done, by name."""

    def __init__(self, touched, files, shared):
        self.touched = touched
        self.relations = {files[number] for number in touched.relations}
        self.sequences = {files[number] for number in touched.sequences}
        self.shared = {shared[number] for number in touched.shared}
        self.structural = touched.structural
        self.commits = touched.commits

    @property
    def tables(self):
        return {name for name in self.relations if not name.startswith("pg_")}


class Ledger:
    """One database: does things in it, and reads what was written meanwhile."""

    def __init__(self, admin):
        self.admin = admin
        self.admin.execute("SET synchronous_commit = on")
        self.segment_size = int(admin.value(SEGMENT_SIZE))
        self.data_directory = Path(admin.value("SHOW data_directory"))
        self.database = admin.value(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        )
        self.local = self.open()
        self.remote = SqlWal(admin)

    def open(self):
        return LocalWal(self.data_directory, self.segment_size)

    def now(self):
        return parse_lsn(self.admin.value(f"SELECT {flush_statement(self.admin.server_version)}"))

    def files(self, shared=False):
        return dict(self.admin.rows(FILES, [shared]))

    def around(self, act):
        """Return the positions before and after it."""
        start = self.now()
        act()
        return start, self.now()

    def read(self, start, end, source=None):
        return read_touched(source or self.local, start, end, self.database)

    def during(self, act):
        """Do something, SQL or a function, and return what it wrote."""
        if isinstance(act, str):
            statements = act
            act = lambda: self.admin.execute(statements)  # noqa: E731
        files = self.files()
        start, end = self.around(act)
        touched = self.read(start, end)
        assert touched == self.read(start, end, self.remote)
        assert touched is not None
        return Written(touched, files | self.files(), self.files(shared=True))

    def rows_of(self, table):
        """Return the transactions that wrote the rows to be seen."""
        return {xid for (xid,) in self.admin.rows(f"SELECT xmin::text::bigint FROM {table}")}
