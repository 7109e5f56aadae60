"""A clone nobody has used, to read what the template has: the template itself is sealed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from freshpg.isolation.audit.facts import Facts, read_facts
from freshpg.isolation.audit.objects import FIRST_USER_OID, identities
from freshpg.isolation.audit.rewritten import DEFINITIONS
from freshpg.postgres.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.audit.deep.difference import Difference
    from freshpg.isolation.audit.deep.state import DeepState
    from freshpg.isolation.audit.facts import TableFacts
    from freshpg.isolation.stock import CloneStock

MOST_BYTES_SAVED = 16 * 2**20
"""Of the copies of seeded rows of one template, in this process."""


class Pristine:
    """Reads facts and saved rows of one template, each once a process, when first needed. For any thread.

    A clone is borrowed from the stock for it and given back untouched: reading writes nothing.
    """

    def __init__(
        self, stock: CloneStock, address: Conninfo, *, own: bool, superusers: bool = False
    ) -> None:
        self._stock = stock
        self._address = address
        self.own = own
        self._superusers = superusers
        self._lock = threading.Lock()
        self._facts: Facts | None = None
        self._deep: DeepState | None = None
        self._definitions: dict[int, str] | None = None
        self._saved: dict[int, bytes] = {}
        self._identities: dict[str, dict[int, tuple[str, str]]] = {}

    def facts(self) -> Facts:
        """Return what is true of every fresh clone.

        Raises:
            FreshpgError: No clone could be had, or not be read.
        """
        with self._lock:
            if self._facts is None:
                with self.open() as admin:
                    self._facts = read_facts(admin, own=self.own, superusers=self._superusers)
            return self._facts

    def compare(self, name: str) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
        """Return how a database differs from a fresh clone, everything in it compared, and what could not be read.

        Both are read through connections of the same kind, since a session's own settings are part of what it sees.

        Raises:
            FreshpgError: One of them could not be read whole.
        """
        from freshpg.isolation.audit.deep.state import DeepState

        with self._lock:
            if self._deep is None:
                with self.open() as admin:
                    self._deep = DeepState.read(admin, shared=self.own)
            before = self._deep
        with self._reading(name) as admin:
            after = DeepState.read(admin, shared=self.own)
        return before.diff(after), after.unread

    def identities(self, catalog: str) -> dict[int, tuple[str, str]]:
        """Return kind and name of what a catalog lists, by oid; PostgreSQL's own objects are left out."""
        with self._lock:
            if catalog not in self._identities:
                with self.open() as admin:
                    found = admin.rows(identities(catalog, f"c.oid >= {FIRST_USER_OID}"))
                self._identities[catalog] = {
                    oid: (str(kind), str(name)) for oid, kind, name in found
                }
            return self._identities[catalog]

    def definitions(self) -> dict[int, str]:
        """Return what a rewrite of its file leaves as it is, of each relation, as a hash."""
        with self._lock:
            if self._definitions is None:
                with self.open() as admin:
                    self._definitions = dict(admin.rows(DEFINITIONS))
            return self._definitions

    def rows_of(self, table: TableFacts) -> bytes | None:
        """Return the rows of a seeded table as ``COPY`` writes them; None where that would take too much memory."""
        with self._lock:
            if table.oid not in self._saved:
                copied = self._copy(table)
                room = MOST_BYTES_SAVED - sum(map(len, self._saved.values()))
                if copied is None or len(copied) > room:
                    return None
                self._saved[table.oid] = copied
            return self._saved[table.oid]

    @contextmanager
    def open(self) -> Iterator[Admin]:
        """Yield a read-only control connection inside a fresh clone."""
        with self._stock.untouched("the audit") as name, self._reading(name) as admin:
            yield admin

    @contextmanager
    def _reading(self, name: str) -> Iterator[Admin]:
        address = self._address.with_(dbname=name)
        with Admin.connect(address, application_name="freshpg template") as admin:
            admin.execute("SET default_transaction_read_only = on; SET row_security = off")
            yield admin

    def _copy(self, table: TableFacts) -> bytes | None:
        columns = ", ".join(table.columns)
        with self.open() as admin:
            size = admin.value("SELECT pg_catalog.pg_table_size(%s)", (table.oid,))
            if not columns or size is None or size > MOST_BYTES_SAVED:
                return None
            statement = f"COPY {table.sql} ({columns}) TO STDOUT"
            with admin.connection.cursor().copy(statement.encode()) as copy:
                return b"".join(map(bytes, copy))
