"""One control connection to a server: autocommit, bounded in time, errors translated."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.pq import ConnStatus

from freshpg.core.conninfo import redact
from freshpg.core.errors import DiskFull, LoginRefused, ServerDied, ServerUnreachable, UrlInvalid
from freshpg.postgres import sqlstate
from freshpg.postgres.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import FreshpgError

Row = tuple[Any, ...]

_REMEDIES: dict[str, tuple[str, ...]] = {
    "FPG-S06": (
        "free space where the server keeps its data",
        "freshpg clean --dry-run shows what freshpg may remove",
    ),
    "FPG-S11": (
        "close connections the application leaves open",
        "raise max_connections of the server",
    ),
    "FPG-D02": ("close every connection to the database; freshpg status shows who holds it",),
}


class Admin:
    """A connection for control statements. Not thread-safe: one a thread."""

    def __init__(self, connection: psycopg.Connection[Row], conninfo: Conninfo) -> None:
        self.connection = connection
        self.conninfo = conninfo
        self._system = ""
        self._prepared: dict[str, str] = {}

    @classmethod
    def connect(
        cls,
        conninfo: Conninfo,
        *,
        application_name: str = "freshpg",
        connect_timeout: float = 10.0,
        statement_timeout: float = 120.0,
        lock_timeout: float = 30.0,
    ) -> Self:
        """Open one; every statement on it ends after ``statement_timeout`` seconds at the latest.

        Raises:
            LoginRefused: Role, password or database rights do not fit.
            ServerUnreachable: Nothing answers.
            TooManyConnections: The server is full.
        """
        options = f"-c statement_timeout={int(statement_timeout * 1000)} -c lock_timeout={int(lock_timeout * 1000)}"
        keywords: dict[str, Any] = conninfo.keywords()
        # The address may ask for some of these; what control needs comes before it.
        keywords |= {
            "options": f"{keywords.get('options', '')} {options}".strip(),
            "application_name": application_name,
            "client_encoding": "UTF8",
            # libpq counts whole seconds and takes 1 for 2: https://www.postgresql.org/docs/current/libpq-connect.html
            "connect_timeout": max(2, round(connect_timeout)),
        }
        try:
            connection = psycopg.connect(**keywords, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise connect_error(error, conninfo) from None
        return cls(connection, conninfo)

    @property
    def pid(self) -> int:
        """Process id of the server's side of the connection."""
        return self.connection.info.backend_pid

    @property
    def server_version(self) -> int:
        """Version as PostgreSQL counts it: 180006 is 18.6."""
        return self.connection.info.server_version

    @property
    def closed(self) -> bool:
        """Whether the connection is closed or known to be broken."""
        return self.connection.closed

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side can know without a round trip."""
        pgconn = self.connection.pgconn
        try:
            # The server's last words may stand before the end of the stream; an ended stream stays readable.
            while pgconn.status == ConnStatus.OK and select.select([pgconn.socket], [], [], 0)[0]:
                pgconn.consume_input()
        except psycopg.Error:
            return False
        return pgconn.status == ConnStatus.OK

    @property
    def system(self) -> str:
        """The cluster's system identifier: tells two servers apart even when they share an address."""
        if not self._system:
            self._system = str(
                self.value("SELECT system_identifier FROM pg_catalog.pg_control_system()")
            )
        return self._system

    def execute(self, statement: str, params: Sequence[Any] | None = None) -> None:
        """Run one statement and forget its result.

        Raises:
            FreshpgError: Whatever class the SQLSTATE means, see :mod:`freshpg.postgres.sqlstate`.
        """
        self._run(statement, params)

    def rows(self, statement: str, params: Sequence[Any] | None = None) -> list[Row]:
        """Run one query and return all its rows."""
        return self._run(statement, params).fetchall()

    def one(self, statement: str, params: Sequence[Any] | None = None) -> Row | None:
        """Run one query and return its first row, or ``None``."""
        return self._run(statement, params).fetchone()

    def prepared(self, statement: str, *values: str | int) -> Row | None:
        """Return the first row of a query with parameters ``$1``, …, planned once: for what is asked once a test.

        In SQL, because psycopg lets go of all that it prepared with every DROP. Behind a pooler it does not work.
        """
        name = self._prepared.get(statement)
        if name is None:
            name = f"freshpg_{len(self._prepared) + 1}"
            self.execute(f"PREPARE {name} AS {statement}")
            self._prepared[statement] = name
        given = ", ".join(literal(one) if isinstance(one, str) else str(one) for one in values)
        return self.one(f"EXECUTE {name}({given})")

    def value(self, statement: str, params: Sequence[Any] | None = None) -> Any:
        """Run one query and return the first column of its first row, or ``None``."""
        row = self.one(statement, params)
        return row[0] if row else None

    def close(self) -> None:
        """Close it; again is fine."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, statement: str, params: Sequence[Any] | None) -> psycopg.Cursor[Row]:
        try:
            return self.connection.execute(statement.encode(), params)
        except psycopg.Error as error:
            raise translate(error, statement, self.conninfo) from error


def translate(error: psycopg.Error, statement: str, conninfo: Conninfo) -> FreshpgError:
    """Return our error for a failed control statement."""
    kind = sqlstate.error_class(error.sqlstate)
    return kind(
        f"a control statement failed: {_shorten(redact(statement, conninfo.password))}",
        on=conninfo.safe(),
        seen=_server_words(error, conninfo),
        todo=_REMEDIES.get(kind.code, ()),
        sqlstate=error.sqlstate,
        **({"free": _free_beside(conninfo)} if kind is DiskFull else {}),
    )


def _free_beside(conninfo: Conninfo) -> int | None:
    """Return the bytes free where a server of ours lives; its sockets are there too."""
    if not conninfo.settled or not conninfo.is_socket:
        return None
    try:
        facts = os.statvfs(conninfo.host)
    except OSError:
        return None
    return facts.f_bavail * facts.f_frsize


def connect_error(error: psycopg.Error, conninfo: Conninfo) -> FreshpgError:
    """Return our error for a connection that could not be opened."""
    seen = _server_words(error, conninfo)
    # libpq gives no SQLSTATE for a refused connection attempt, psycopg only the text the server sent.
    kind = sqlstate.error_class(error.sqlstate) if error.sqlstate else _kind_by_text(seen)
    todo: tuple[str, ...] = ("check host, port and that the server runs",)
    if isinstance(error, psycopg.ProgrammingError) and not error.sqlstate:
        # libpq did not even try: it knows no such keyword, or not this value of it.
        kind = UrlInvalid
        todo = (
            "correct the address: https://www.postgresql.org/docs/current/libpq-connect.html lists every keyword",
        )
    if "definition of service" in seen:
        todo = (
            "unset PGSERVICE, or add that service to the file: nothing that uses libpq connects",
        )
    elif kind is ServerUnreachable and conninfo.settled:
        kind, todo = ServerDied, ("run again: a new server is started from the image",)
    elif kind is LoginRefused:
        todo = ("check user and password of the server's URL, and pg_hba.conf of the server",)
    return kind(
        "a connection was opened",
        on=conninfo.safe(),
        seen=seen,
        todo=_REMEDIES.get(kind.code, todo),
        sqlstate=error.sqlstate,
    )


_REFUSALS: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("role ", "28000"),
    ("too many clients", "53300"),
    ("remaining connection slots", "53300"),
    ("does not exist", "3D000"),
    ("starting up", "57P03"),
    ("shutting down", "57P03"),
)


def _kind_by_text(seen: str) -> type[FreshpgError]:
    # The one place that reads English: libpq reports connection failures without their SQLSTATE. A server with
    # another lc_messages falls through to "unreachable", with its own words shown.
    if "FATAL" in seen:
        for words, state in _REFUSALS:
            if words in seen:
                return sqlstate.error_class(state)
    if "no password supplied" in seen:
        return LoginRefused
    return ServerUnreachable


def _server_words(error: psycopg.Error, conninfo: Conninfo) -> str:
    detail = error.diag
    parts = [
        detail.message_primary or str(error).strip(),
        detail.message_detail,
        detail.message_hint,
    ]
    text = "\n".join(part for part in parts if part)
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return redact(text, conninfo.password) + state


def _shorten(statement: str, limit: int = 120) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
