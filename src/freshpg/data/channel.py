"""The connection that test data goes through."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import Cursor
from psycopg.errors import LockNotAvailable
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from freshpg.handle import Database

Row = tuple[Any, ...]


class Channel:
    """One connection to a database: its user's, or one of our own that is opened on first use.

    What goes through our own is committed, so every other connection sees it; under ``rollback`` our own is the
    connection of the test.

    Args:
        database: Where to.
        given: The user's connection.
        deadline: Seconds that our own connection waits for a lock.
    """

    def __init__(
        self,
        database: Database,
        given: psycopg.Connection[Any] | None = None,
        *,
        deadline: float = 10.0,
    ) -> None:
        self.database = database
        self._deadline = deadline
        self._given = given
        self._own: psycopg.Connection[Any] | None = None
        self._depth = 0

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection; a new one when our own was closed, by a reset for example."""
        if self._given is not None:
            return self._given
        if self._own is None or self._own.closed:
            self._own = self._open()
        return self._own

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one query and return its rows, whatever the connection's own row factory is."""
        with self._single():
            return self._run(statement, parameters).fetchall()

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one query and return the first column of its first row, or ``None``."""
        rows = self.rows(statement, parameters)
        return rows[0][0] if rows else None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it touched."""
        with self._single():
            return self._run(statement, parameters).rowcount

    @contextmanager
    def together(self) -> Iterator[None]:
        """Carry out everything in the block, or nothing; what a given connection does stays its user's to commit."""
        connection = self.connection
        if self._given is not None and not connection.autocommit:
            # Begins the transaction that the user's own first statement would; ours is then a savepoint in it.
            self._run("SELECT", ())
        with connection.transaction():
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def close(self) -> None:
        """Close our own connection; again is fine."""
        own, self._own = self._own, None
        # Under rollback it is the test's connection, which others go on using.
        if own is not None and self.database.isolation != "rollback":
            own.close()

    def _open(self) -> psycopg.Connection[Any]:
        if self.database.isolation == "rollback":
            return self.database.connect()
        # Without it, a row that the test itself holds uncommitted on another connection would be waited for for ever.
        patience = f"-c lock_timeout={int(self._deadline * 1000)}"
        options = f"{self.database.conninfo.keywords().get('options', '')} {patience}".strip()
        return self.database.connect(autocommit=True, options=options)

    @contextmanager
    def _single(self) -> Iterator[None]:
        connection = self.connection
        if connection.autocommit or self._depth or self._given is not None:
            yield
            return
        with connection.transaction():
            yield

    def _run(self, statement: str, parameters: Sequence[Any]) -> Cursor[Row]:
        # With parameters, be it none of them, a percent sign is always doubled.
        cursor = Cursor(self.connection, row_factory=tuple_row)
        try:
            return cursor.execute(statement.encode(), parameters)
        except LockNotAvailable as error:
            error.add_note(
                "freshpg: another transaction holds it, perhaps one of this test; end that first, or work inside it:"
                " pg_data.on(connection)"
            )
            raise
