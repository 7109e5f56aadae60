"""The one connection of one rollback test, in as many shapes as the test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.adapt import AdaptersMap

from freshpg.isolation.ownership import Ownership
from freshpg.isolation.rollback.connection import AsyncRollbackConnection, RollbackConnection
from freshpg.isolation.rollback.refusal import cannot

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.rollback.ending import Ending
    from freshpg.isolation.rollback.session import RollbackSession

_OF_PSYCOPG = frozenset(
    {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}
)
_HARMLESS = frozenset({"application_name", "fallback_application_name", "connect_timeout"})
"""Options of an address that make no difference to what a test sees."""

_STATEMENTS_EACH = 1_000_000
"""Names of prepared statements that one connection may use up: psycopg counts for each connection from nought."""


class SingleConnection:
    """Gives out connections that all are the one session, for one test.

    Attributes:
        ownership: Who may use them.
    """

    def __init__(self, session: RollbackSession, conninfo: Conninfo, test: str) -> None:
        self.ownership = Ownership(f"database {conninfo.dbname}", test)
        self._session = session
        self._conninfo = conninfo
        self.ownership.hand_out()

    def connect(self, **options: Any) -> RollbackConnection:
        """Return a connection; ``options`` are those of ``psycopg.connect`` that do not concern the server.

        Raises:
            RollbackCannot: An option would need a session of its own.
            ConnectionNotAllowed: It belongs to a test, and not to the caller.
            LeaseClosed: The test has ended.
        """
        ways = self._checked(options)
        connection = RollbackConnection(self._session.pgconn)
        self._join(connection, ways)
        return connection

    def aconnect(self, **options: Any) -> AsyncRollbackConnection:
        """Return an asynchronous connection; see :meth:`connect`."""
        ways = self._checked(options)
        connection = AsyncRollbackConnection(self._session.pgconn)
        self._join(connection, ways)
        return connection

    def close_connections(self) -> None:
        """Close every connection given out; what they did not commit is lost."""
        for connection in self._session.faces:
            connection.finish()

    def end(self, *, check: bool = True) -> Ending:
        """Roll back; from now on the connections of the test cannot be used."""
        self.ownership.end()
        faces = tuple(self._session.faces)
        for connection in faces:
            connection._closed = True
        ending = self.roll_back(check=check)
        self._session.faces.clear()
        return ending

    def roll_back(self, *, check: bool) -> Ending:
        """Roll back, for the test to go on after :meth:`resume`."""
        session = self._session
        session.holds_prepared |= any(connection.prepared_some for connection in session.faces)
        return session.end(check=check)

    def resume(self, session: RollbackSession) -> None:
        """Go on in a transaction that was begun anew; connections stay open if it is in the same session."""
        for connection in self._session.faces:
            connection.forget_prepared()
            connection._closed |= session is not self._session
        self._session = session

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options that concern psycopg alone."""
        self.ownership.require()
        self.ownership.hand_out()
        others = options.keys() - _OF_PSYCOPG
        if others:
            self._require_same_session({key: options[key] for key in others})
        return {key: options[key] for key in options.keys() & _OF_PSYCOPG}

    def _join(self, connection: Any, ways: dict[str, Any]) -> None:
        session = self._session
        first_statement = len(session.faces) * _STATEMENTS_EACH
        connection.join(session, self.ownership, first_statement)
        session.faces.append(connection)
        connection._autocommit = bool(ways.pop("autocommit", False))
        connection.prepare_threshold = ways.pop("prepare_threshold", 5)
        context = ways.pop("context", None)
        if context is not None:
            connection._adapters = AdaptersMap(context.adapters)
        for name, value in ways.items():
            if value is not None:
                setattr(connection, name, value)

    def _require_same_session(self, options: dict[str, Any]) -> None:
        ours = self._conninfo.keywords()
        wrong = [
            key
            for key, value in options.items()
            if key not in _HARMLESS and value is not None and ours.get(key) != value
        ]
        if wrong:
            raise cannot(
                "a connection with other options was asked for",
                on=self._conninfo.dbname,
                seen=f"{', '.join(sorted(wrong))}: all connections of this test are one session",
                todo=("set what you need by SET: it is undone with the rest",),
            )
