"""The connection inside a leased database that looks at it and clears it: as few round trips as can be.

Every exchange is one simple query, which may hold several statements. Statements that recur are prepared once, so that
the server neither parses nor plans them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.pq import ExecStatus

from freshpg.core.errors import ServerDied
from freshpg.leases.forks import abandon, disown_in_children
from freshpg.postgres.admin import Admin, translate
from freshpg.postgres.strangers import ABOUT_TO, not_ours, require_proven, require_same
from freshpg.postgres.wal.source import FLUSHES_BY_ARGUMENT

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo

APPLICATION = "freshpg audit"


class Answer(NamedTuple):
    """What one statement gave: rows as text, and how many rows it changed or returned."""

    rows: list[tuple[str | None, ...]]
    affected: int


_OPEN = """
SELECT d.oid, pg_catalog.shobj_description(d.oid, 'pg_database'),
       pg_catalog.current_setting('is_superuser') = 'on'
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""

_FINE = frozenset(
    {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY, ExecStatus.COPY_IN}
)


class Inside:
    """One session in one database that is provably ours. Not thread-safe.

    Attributes:
        admin: The connection.
        database: Oid of the database; the session stays in it whatever it is renamed to.
        superuser: Whether it may do everything.
        replays: Whether triggers and foreign keys do not fire for what it does.
        mark: The comment that proves the database to be ours; None on a server of ours, where every one is.
    """

    def __init__(
        self, admin: Admin, database: int, *, superuser: bool, mark: str | None = None
    ) -> None:
        self.admin = admin
        self.database = database
        self.superuser = superuser
        self.mark = mark
        self._prepared: dict[str, str] = {}
        self._sent = ""
        # Where only a commit flushes WAL, it must. And rows that a policy hides must not go uncounted, but be an error.
        flush = "off" if admin.server_version >= FLUSHES_BY_ARGUMENT else "on"
        admin.execute(f"SET synchronous_commit = {flush}; SET row_security = off")
        self.replays = self._replay()
        disown_in_children(self)

    @classmethod
    def open(cls, address: Conninfo, *, own: bool, oid: int = 0) -> Inside:
        """Connect and read the mark in the same session that will act on it.

        On a server of our ``own`` every database is ours, whatever became of its mark.

        Args:
            address: The database.
            own: The server is ours.
            oid: That of the database, where it is known: the name may have got another one meanwhile.

        Raises:
            NotOurs: It does not carry our mark, or it is another one.
            FreshpgError: No connection was to be had.
        """
        admin = Admin.connect(address, application_name=APPLICATION)
        try:
            here, comment, superuser = admin.one(_OPEN) or (0, None, False)
            if not own:
                require_proven(admin, here, comment)
            require_same(admin, here, oid)
            inside = cls(admin, here, superuser=bool(superuser), mark=None if own else comment)
        except BaseException:
            admin.close()
            raise
        return inside

    def run(self, statements: str) -> list[Answer]:
        """Run one or more statements in one round trip and return the rows of each, as text.

        Raises:
            FreshpgError: One failed; those before it in the same transaction are undone.
        """
        self.send(statements)
        return self.receive()

    def send(self, statements: str) -> None:
        """Send statements and do not wait for the answers, which :meth:`receive` gives; those still due are dropped.

        Raises:
            FreshpgError: The session is gone.
        """
        pgconn = self.admin.connection.pgconn
        try:
            while self._sent and pgconn.get_result() is not None:
                pass
            self._sent = statements
            pgconn.send_query(statements.encode())
            pgconn.flush()
        except psycopg.Error as error:
            self._sent = ""
            raise translate(error, statements, self.admin.conninfo) from error

    def receive(self) -> list[Answer]:
        """Return the answers to what was sent.

        Raises:
            FreshpgError: A statement failed, or the session is gone.
        """
        pgconn = self.admin.connection.pgconn
        statements, self._sent = self._sent, ""
        results: list[Answer] = []
        failure: psycopg.Error | None = None
        try:
            while (found := pgconn.get_result()) is not None:
                if found.status in _FINE:
                    results.append(Answer(_rows(found), found.command_tuples or 0))
                else:
                    failure = failure or psycopg.errors.error_from_result(found)
        except psycopg.Error as error:
            failure = error
        if failure is not None:
            raise translate(failure, statements, self.admin.conninfo) from failure
        return results

    def prepared(self, statement: str, types: str = "") -> str:
        """Return the name under which ``statement`` is prepared, after preparing it if need be."""
        name = self._prepared.get(statement)
        if name is None:
            name = f"freshpg_{len(self._prepared)}"
            self.run(f"PREPARE {name}{f'({types})' if types else ''} AS {statement}")
            self._prepared[statement] = name
        return name

    def forget_prepared(self) -> None:
        """Let go of every prepared statement: what they name may be gone."""
        if self._prepared:
            self._prepared = {}
            self.run("DEALLOCATE ALL")

    def require_mark(self, seen: str | None) -> None:
        """Require the comment the database has now to be the one that was proven.

        Raises:
            NotOurs: It is another, or none.
        """
        if self.mark is not None and seen != self.mark:
            raise not_ours(self.admin, self.admin.conninfo.dbname, ABOUT_TO)

    @property
    def alive(self) -> bool:
        """Whether the session still stands, as far as this side knows."""
        return self.admin.alive

    def close(self) -> None:
        """End the session; again is fine."""
        self.admin.close()

    def disown(self) -> None:
        """In a forked child: leave the session to the parent."""
        abandon(self.admin)

    def _replay(self) -> bool:
        # Set once and for all: changing it throws away every plan of the session.
        # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE
        try:
            self.run("SET session_replication_role = replica")
        except ServerDied:
            raise
        except Exception:  # noqa: BLE001 (the right to set it is all that was in question)
            return False
        return True


def _rows(result: Any) -> list[tuple[str | None, ...]]:
    columns = range(result.nfields)
    return [
        tuple(
            None
            if (value := result.get_value(row, column)) is None
            else value.decode(errors="replace")
            for column in columns
        )
        for row in range(result.ntuples)
    ]
