"""``Database``: what a test, a script or an application under test gets to use."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Literal, Protocol

from freshpg.core.callers import caller
from freshpg.core.errors import LeaseClosed, UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.ownership import Allowed, Mode
    from freshpg.isolation.residue import Residue
    from freshpg.isolation.rollback.single import SingleConnection
    from freshpg.postgres.schema.truncation import TruncatePlan


CONNECT_SECONDS = 30
"""For how long a connection is waited for where its opener says nothing: a server may have been stopped."""


class Keeper(Protocol):
    """What a handle needs of the one who leased it out."""

    def audit_database(self, database: Database) -> Residue:
        """Compare the database with its template."""

    def prove_database(self, database: Database) -> Residue:
        """Compare the database with its template, whole."""

    def reset_database(self, database: Database) -> Residue:
        """Make the database equal to its template again, under the same name."""

    def keep_database(self, database: Database, why: str) -> str:
        """Keep it for inspection and return the name it will have."""

    def reset_sequences_of(
        self, database: Database, *, to: Literal["template", "one"]
    ) -> tuple[str, ...]:
        """Put its sequences back and return the names of those that had moved."""

    def truncate_tables_of(
        self,
        database: Database,
        tables: tuple[str, ...],
        *,
        restore_seed: bool,
        dry_run: bool,
        deadline: float,
    ) -> TruncatePlan:
        """Empty tables of it and say what that came to."""

    def at_stop(self, callback: Callable[[], object]) -> None:
        """Call something when all leases of this keeper have ended."""


class Database:
    """One leased database.

    It is valid until its lease ends; connections opened through it are closed then.
    """

    def __init__(
        self,
        conninfo: Conninfo,
        *,
        blueprint: str,
        isolation: str,
        owner: Keeper,
        test: str = "",
        single: SingleConnection | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._owner = owner
        self._single = single
        self._at_leave: list[Callable[[], object]] = []
        self._origins: dict[int, str] = {}
        self._connections: list[psycopg.Connection[Any] | psycopg.AsyncConnection[Any]] = []
        self.blueprint = blueprint
        self.isolation = isolation
        self.test = test
        self.closed = False
        self.kept = ""

    @property
    def name(self) -> str:
        """Name of the database on its server."""
        return self._conninfo.dbname

    @property
    def url(self) -> str:
        """``postgresql://`` URL that libpq and most drivers read."""
        return self.url_for("postgresql")

    @property
    def conninfo(self) -> Conninfo:
        """Address in parts; ``conninfo.keywords()`` fits ``psycopg.connect(**…)``."""
        self._require_open()
        return self._conninfo

    def url_for(self, dialect: str) -> str:
        """Return the URL for a driver: ``sqlalchemy+psycopg``, ``sqlalchemy+asyncpg``, ``asyncpg``, ``django``, ``jdbc``.

        Raises:
            UrlInvalid: The dialect is unknown, or cannot reach a Unix socket.
        """
        return self.conninfo.url(dialect)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Open a psycopg connection; ``options`` go to ``psycopg.connect``. It is closed with the lease at the latest.

        A server that does not answer is waited for for 30 seconds; ``connect_timeout`` says something else.

        With isolation ``rollback`` all connections are one session inside one transaction that is never committed.

        Raises:
            RollbackCannot: With isolation ``rollback``, an option would need a session of its own.
            ConnectionNotAllowed: With isolation ``rollback``, the calling thread was not given the connection.
        """
        if self._single is not None:
            return self._single.connect(**options)
        import psycopg

        try:
            connection = psycopg.connect(**self._address(options))
        except psycopg.OperationalError as error:
            if "definition of service" not in str(error):
                raise
            # PGSERVICE leads every connection astray, and this may be the first one of the process.
            from freshpg.postgres.admin import connect_error

            raise connect_error(error, self.conninfo) from None
        self._remember(connection)
        return connection

    async def aconnect(self, **options: Any) -> psycopg.AsyncConnection[Any]:
        """Open an asynchronous psycopg connection; see :meth:`connect`."""
        if self._single is not None:
            return self._single.aconnect(**options)
        import psycopg

        connection = await psycopg.AsyncConnection.connect(**self._address(options))
        self._remember(connection)
        return connection

    @property
    def ownership(self) -> Mode:
        """Who may use the connection of isolation ``rollback``: ``automatic``, ``manual`` or ``shared``; can be set.

        Raises:
            UsageInvalid: There is no such mode, or at another level of isolation.
        """
        return self._require_single("its ownership was asked for").ownership.mode

    @ownership.setter
    def ownership(self, mode: Mode) -> None:
        self._require_single("its ownership was to be changed").ownership.mode = mode

    def allow(self, whom: Allowed) -> Allowed:
        """Let a thread, a task, or whoever calls a function use the connection of isolation ``rollback``.

        Returns:
            The thread or task; for a function the one to call in its place.

        Raises:
            UsageInvalid: It is none of these, or at another level of isolation.
        """
        return self._require_single("somebody was to be allowed to use it").ownership.allow(whom)

    def _address(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"connect_timeout": CONNECT_SECONDS, **self.conninfo.keywords(), **options}

    def at_leave(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the lease ends, before the database is taken back; the last one named first.

        What callbacks raise is raised when the database has been taken back.
        """
        self._require_open()
        self._at_leave.append(callback)

    @property
    def owner(self) -> Keeper:
        """Who leased it out; what drivers keep from lease to lease lives as long."""
        return self._owner

    def audit(self) -> Residue:
        """Return how the database differs from its template now; falsy when it does not. Nothing is changed.

        Raises:
            FreshpgError: It could not be looked at.
        """
        self._require_open()
        residue = self._owner.audit_database(self)
        sessions = tuple(
            dataclasses.replace(one, origin=self._origins.get(one.pid, ""))
            for one in residue.sessions
        )
        return dataclasses.replace(residue, sessions=sessions)

    def prove(self) -> Residue:
        """Return how the database differs from its template, every row, sequence and definition compared by name.

        It takes as long as reading the whole database does. Sessions and what they hold are not part of it.

        Raises:
            FreshpgError: It could not be read whole.
        """
        self._require_open()
        return self._owner.prove_database(self)

    def reset(self) -> Residue:
        """Make the database equal to its template again and return what was undone.

        Name and URL stay valid, and so do open connections, but for those in the middle of a transaction. Where
        equality cannot be proven in place (the schema changed, say), a fresh clone takes its place and all connections
        to the old one, :meth:`connect`'s included, are ended; the residue then is ``replaced``.
        """
        self._require_open()
        return self._owner.reset_database(self)

    def keep(self, why: str) -> str:
        """Leave the database for inspection when the lease ends; return the name it will have."""
        self._require_open()
        if not self.kept:
            self.kept = self._owner.keep_database(self, why)
        return self.kept

    def reset_sequences(self, to: Literal["template", "one"] = "template") -> tuple[str, ...]:
        """Put every sequence that moved where the template has it, or to 1; return their names.

        Sequences that a test made have no place in the template and stay. ``one`` means the first value where a sequence
        may not give 1. Rows are not touched: with ``one`` their keys may be given again.

        Raises:
            UsageInvalid: ``to`` is neither, or the isolation is ``readonly``.
        """
        self._require_open()
        return self._owner.reset_sequences_of(self, to=to)

    def truncate(
        self,
        *tables: str,
        restore_seed: bool = False,
        dry_run: bool = False,
        deadline: float = 5.0,
    ) -> TruncatePlan:
        """Empty tables and all that reference them, in one statement; return which, why, and how many rows they had.

        Triggers do not fire where the control role may say so. Sequences stay: see :meth:`reset_sequences`.

        Args:
            tables: As in SQL: ``"cart"``, ``"sales.cart"``; partitions and heirs go with them.
            restore_seed: Put the template's rows back, in the same transaction.
            dry_run: Change nothing, only say what would be emptied.
            deadline: Seconds to wait for a lock.

        Raises:
            TableUnknown: There is no such table; names the nearest. Nothing was emptied.
            UsageInvalid: A table cannot be emptied, or not with this isolation: ``readonly``, ``rollback``.
            WaitTimedOut: Somebody used a table until the deadline; ``holders`` says who. Nothing was emptied.
        """
        self._require_open()
        return self._owner.truncate_tables_of(
            self, tables, restore_seed=restore_seed, dry_run=dry_run, deadline=deadline
        )

    def locked(
        self, table: str, key: Any, *, deadline: float = 5.0
    ) -> contextlib.AbstractContextManager[dict[str, Any]]:
        """Hold one committed row ``FOR UPDATE`` during a ``with`` block, on a connection of its own, and yield it.

        Args:
            table: The row's table, as in SQL.
            key: Its primary key; a tuple, or a dictionary of columns, where that has several columns.
            deadline: Seconds to wait for the lock.

        Raises:
            TableUnknown, DataInvalid: There is no such table or row.
            WaitTimedOut: Somebody else held the row until the deadline; ``holders`` says who.
        """
        from freshpg.data.locks import locked

        self._require_open()
        return locked(self, table, key, deadline=deadline)

    def close_connections(self) -> None:
        """Close every connection opened through this handle."""
        if self._single is not None:
            self._single.close_connections()
        connections, self._connections = self._connections, []
        for connection in connections:
            # An asynchronous connection can only be awaited in its own event loop, which may be gone;
            # closing the libpq connection below it works from anywhere.
            with contextlib.suppress(Exception):
                connection.pgconn.finish()

    def close(self) -> list[Exception]:
        """End the handle: called when the lease ends. Return what the callbacks of :meth:`at_leave` raised."""
        problems: list[Exception] = []
        while self._at_leave:
            try:
                self._at_leave.pop()()
            except Exception as error:  # noqa: BLE001 (raised by whoever takes the database back, after that)
                problems.append(error)
        self.close_connections()
        self.closed = True
        return problems

    def __repr__(self) -> str:
        state = "given back" if self.closed else self._conninfo.safe()
        return f"<Database {self._conninfo.dbname!r} {self.isolation} {state}>"

    def _require_single(self, failed: str) -> SingleConnection:
        self._require_open()
        if self._single is None:
            raise UsageInvalid(
                failed,
                on=self.name,
                seen=f"it has isolation {self.isolation!r}: everybody may open connections of their own",
                todo=("leave it out, or ask for isolation 'rollback'",),
            )
        return self._single

    def _remember(self, connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
        self._connections.append(connection)
        self._origins[connection.info.backend_pid] = caller()

    def _require_open(self) -> None:
        if self.closed:
            raise LeaseClosed(
                "a database was used after its lease had ended",
                on=self._conninfo.dbname,
                seen=f"it was leased to {self.test}" if self.test else "",
                todo=(
                    "take the fixture in the test that uses it",
                    "use a wider scope: pg_module, pg_run",
                ),
            )


def raise_all(problems: list[Exception]) -> None:
    """Raise what several acts raised, one as it is, several as a group; nothing if nothing was.

    Raises:
        ExceptionGroup: There are several.
    """
    if len(problems) > 1:
        raise ExceptionGroup("several things failed when a database was given back", problems)
    for problem in problems:
        raise problem
