"""The one server session of a rollback test: its outer transaction, and the proof that nothing is left of it.

What a rollback undoes is all but everything; this is what is undone by hand or proven. Sequences do not go back:
those the test moved are known by their locks, which last until the outer transaction ends, and are set to what they were
(https://www.postgresql.org/docs/current/functions-sequence.html). Advisory locks of the session are given up, prepared
statements dropped. Other sessions may have committed: that none was there is proven by two counters of the database.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators, pq

from freshpg.core.errors import TurnTimedOut
from freshpg.isolation.audit.inside import APPLICATION
from freshpg.isolation.rollback.ending import Ending, broken, lost, neighbours_in
from freshpg.isolation.rollback.results import FATAL, number_in, raise_first, rows_of
from freshpg.isolation.turns import Turns
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import OuterTransactionEnded
    from freshpg.isolation.rollback.ending import Neighbours

SAVEPOINT = b"freshpg_transaction"
NEW_SAVEPOINT = b"SAVEPOINT " + SAVEPOINT
RELEASE = b"RELEASE SAVEPOINT " + SAVEPOINT
ROLL_BACK = b"ROLLBACK TO SAVEPOINT " + SAVEPOINT

CHECK_CONSTRAINTS = b"SET CONSTRAINTS ALL IMMEDIATE"
_DEFER_AGAIN = b"SET CONSTRAINTS ALL DEFERRED"
_CHECK = b"freshpg_check"

_MOVED = (
    b"SELECT relation FROM pg_catalog.pg_lock_status()"
    b" WHERE pid = pg_catalog.pg_backend_pid() AND mode = 'RowExclusiveLock' AND locktype = 'relation'"
)
_PREPARE_MOVED = b"PREPARE freshpg_moved AS " + _MOVED
_EXECUTE_MOVED = b"EXECUTE freshpg_moved"
_PREPARE_PUT_BACK = (
    b"PREPARE freshpg_put_back(pg_catalog.oid, pg_catalog.int8, pg_catalog.bool) AS"
    b" SELECT pg_catalog.setval($1::pg_catalog.regclass, $2, $3)"
)
_EXECUTE_LOOK = b"EXECUTE freshpg_look"
_ALL_SEQUENCES = (
    "SELECT oid, oid::pg_catalog.regclass::text FROM pg_catalog.pg_class"
    " WHERE relkind = 'S' AND relpersistence <> 't' AND pg_catalog.has_table_privilege(oid, 'SELECT')"
)
_DEFERRABLE = (
    "SELECT coalesce(bool_or(tginitdeferred), false), coalesce(bool_or(NOT tginitdeferred), false)"
    " FROM pg_catalog.pg_trigger WHERE tgdeferrable"
)

_CONNECT_LIMIT = 10
"""Seconds for a new session, where the address does not say."""
_PATIENCE = 2.0
"""Seconds that whoever still uses the connection at the end of its test has, after being told to stop."""

IDLE = pq.TransactionStatus.IDLE
INTRANS = pq.TransactionStatus.INTRANS
INERROR = pq.TransactionStatus.INERROR


class RollbackSession:
    """One libpq connection, kept from test to test of one database.

    The state of the inner transaction, the one that the test believes to be in, is here because all connections of
    the test share it.

    Attributes:
        faces: The connections of the test that share this session.
        listener: The one of them that notices are for: who used the session last.
        open: The test is in a transaction.
        fresh: Nothing has happened since the savepoint.
        abandoned: The connection that was in the transaction was closed; it is rolled back before anything else happens.
        holds_prepared: There are prepared statements besides ours.
        holds_cursors: There are cursors.
        dropped_statements: Prepared statements may be gone, ours included.
        neighbours: Who was connected when it was last known that the database equals its template, if that was only us.

    Args:
        conninfo: The database, as the test's role.
        control: The role of our own sessions in it.
    """

    def __init__(self, conninfo: Conninfo, control: str) -> None:
        self._control = control
        self._conninfo = conninfo
        keywords: dict[str, Any] = {"connect_timeout": _CONNECT_LIMIT, **conninfo.keywords()}
        self._wrapper: psycopg.Connection[Any] = psycopg.connect(**keywords, autocommit=True)
        self.pgconn = self._wrapper.pgconn
        self.name = conninfo.dbname
        self.turns = Turns(f"database {self.name}")
        self.in_outer = False
        self.open = False
        self.fresh = False
        self.abandoned = False
        self.dropped_statements = False
        self.holds_prepared = False
        self.holds_cursors = False
        self._due: tuple[bytes, ...] = ()
        self.faces: list[Any] = []
        self.listener: Any = None
        self.neighbours: Neighbours | None = None
        try:
            self._learn()
        except BaseException:
            self._wrapper.close()
            raise

    @property
    def admin(self) -> Admin:
        """The same connection, for questions before the first test."""
        return Admin(self._wrapper, self._conninfo)

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as is known here."""
        return self.pgconn.status == pq.ConnStatus.OK

    @property
    def status(self) -> pq.TransactionStatus:
        """The state of the transaction that the test believes to be in."""
        real = pq.TransactionStatus(self.pgconn.transaction_status)
        if real in {INTRANS, INERROR} and (not self.open or self.abandoned):
            return IDLE
        return real

    @property
    def is_lost(self) -> bool:
        """Whether the outer transaction was ended from inside."""
        return self.in_outer and self.pgconn.transaction_status == IDLE

    def begin(self) -> bool:
        """Begin the outer transaction; return whether the database was left alone since the last end.

        Raises:
            psycopg.Error: The connection broke.
        """
        if self.neighbours is None and not self._others():
            self.neighbours = neighbours_in(self._run(_EXECUTE_LOOK)[0])
        commands = (*self._due, _EXECUTE_LOOK, b"BEGIN", NEW_SAVEPOINT)
        found = neighbours_in(self._run(b"; ".join(commands))[len(self._due)])
        self._due = ()
        self.in_outer = self.fresh = True
        self.open = self.abandoned = False
        return self.neighbours is None or self.neighbours == found

    def end(self, *, check: bool = True) -> Ending:
        """Roll everything back, put back what a rollback does not, and say whether that was all.

        ``check`` asks whether deferred constraints hold.
        """
        if not self.in_outer:
            return Ending(doubt="the outer transaction was not begun")
        try:
            self._stop_users()
            return self._end(check=check)
        except (psycopg.Error, TurnTimedOut) as error:
            self.close()
            return Ending(doubt=f"its connection did not come to rest: {error}".splitlines()[0])
        finally:
            self.in_outer = self.open = self.fresh = self.abandoned = False
            self.turns.free_block()

    def settled(self) -> bool:
        """Whether the connection stands and nothing is open on it."""
        try:
            self._run(b"SELECT 1")
        except psycopg.Error:
            self.close()
            return False
        return self.pgconn.transaction_status == IDLE

    def commit_for_inspection(self) -> None:
        """Commit what the test did, as far as it can be."""
        with suppress(psycopg.Error, TurnTimedOut):
            self._stop_users()
            if self.pgconn.transaction_status == INERROR:
                self._run(ROLL_BACK)
            self._run(b"COMMIT")

    def lost(self) -> OuterTransactionEnded:
        """Return what to tell a test that ended the outer transaction."""
        return lost(self.name)

    def abandon(self) -> None:
        """In a forked child: let go of the socket without a word to the server."""
        if self.pgconn.socket >= 0:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, self.pgconn.socket, inheritable=False)
            os.close(null)

    def forget(self) -> None:
        """Somebody else makes the database equal to its template: what was known of it holds no more."""
        self.neighbours = None

    def close(self) -> None:
        """Close the connection; the server rolls back what is open."""
        with suppress(Exception):
            self._wrapper.close()

    def constraint_check(self) -> tuple[bytes, ...]:
        """Return what finds broken deferred constraints and leaves their modes as they are; nothing if there are none.

        https://www.postgresql.org/docs/current/sql-set-constraints.html
        """
        deferred, immediate = self._deferrable
        if not deferred and not immediate:
            return ()
        if not immediate:
            return CHECK_CONSTRAINTS, _DEFER_AGAIN
        # One command sets all modes, so those that begin immediate are restored by going back.
        name = _CHECK
        return (
            b"SAVEPOINT " + name,
            CHECK_CONSTRAINTS,
            b"ROLLBACK TO SAVEPOINT " + name,
            b"RELEASE SAVEPOINT " + name,
        )

    def _learn(self) -> None:
        """Read what a rollback must give back, while the database equals its template."""
        oid = number_in(
            self._run(b"SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()")[
                0
            ]
        )
        self._ask_others = (
            "SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) a LEFT JOIN pg_catalog.pg_roles r"
            f" ON r.oid = a.usesysid WHERE a.datid = {oid} AND a.pid <> pg_catalog.pg_backend_pid()"
            f" AND (a.application_name, r.rolname) IS DISTINCT FROM ({literal(APPLICATION)}, {literal(self._control)})"
        ).encode()
        # Our own arrival is counted before anybody compares.
        self._run(b"SELECT pg_catalog.pg_stat_force_next_flush()")
        self._look = (
            f"SELECT pg_catalog.pg_stat_get_db_numbackends({oid}), pg_catalog.pg_stat_get_db_sessions({oid}),"
            " pg_catalog.pg_advisory_unlock_all()"
        ).encode()
        self._prepares = (
            _PREPARE_MOVED,
            _PREPARE_PUT_BACK,
            b"PREPARE freshpg_look AS " + self._look,
        )
        self._run(b"; ".join(self._prepares))
        deferred, immediate = self._rows(_DEFERRABLE)[0]
        self._deferrable = (deferred == b"t", immediate == b"t")
        self.sequences = self._read_sequences()

    def _read_sequences(self) -> dict[int, tuple[str, bytes, bytes]]:
        """Return name, last value and whether it was given, of every sequence by oid."""
        names = {int(oid): name.decode() for oid, name in self._rows(_ALL_SEQUENCES)}
        if not names:
            return {}
        asked = [f"SELECT {oid}, last_value, is_called FROM {name}" for oid, name in names.items()]
        rows = self._rows(" UNION ALL ".join(asked))
        return {int(oid): (names[int(oid)], last, called) for oid, last, called in rows}

    def _end(self, *, check: bool) -> Ending:
        if self.is_lost:
            return Ending(
                doubt="the outer transaction was ended from inside", problem=lost(self.name)
            )
        commands = list(self._farewell(check=check))
        results = self._attempt(b"; ".join(commands))
        problem = None
        if len(results) == len(commands) and results[-1].status != FATAL:
            answers = [result for result in results if result.status == pq.ExecStatus.TUPLES_OK]
            moved = [int(oid) for (oid,) in rows_of(answers[0])]
            found = neighbours_in(answers[-1])
        else:
            # One failed and the rest was skipped. Which sequences moved is not known any more: all are compared.
            if commands[len(results) - 1] == CHECK_CONSTRAINTS:
                problem = broken(self.name, results[-1])
            if self.pgconn.transaction_status != IDLE:
                self._run(b"ROLLBACK")
            results = self._run(b"; ".join(self._afterwards(statements_too=True)))
            found = neighbours_in(results[-1])
            moved = self._moved_by_comparing()
        put_back = self._note_due(moved)
        self.dropped_statements = self.holds_prepared = False
        return Ending(self._doubt(found), put_back, problem)

    def _farewell(self, *, check: bool) -> Iterator[bytes]:
        if self.pgconn.transaction_status == INERROR:
            yield ROLL_BACK
        if check and any(self._deferrable):
            yield CHECK_CONSTRAINTS
        yield _MOVED if self.dropped_statements else _EXECUTE_MOVED
        yield b"ROLLBACK"
        yield from self._afterwards(statements_too=self.dropped_statements or self.holds_prepared)

    def _afterwards(self, *, statements_too: bool) -> Iterator[bytes]:
        """Yield what puts the session back and looks who is there; settings are back by the rollback itself."""
        if statements_too:
            yield b"DEALLOCATE ALL"
            yield from self._prepares
        yield _EXECUTE_LOOK

    def _moved_by_comparing(self) -> list[int]:
        now = self._read_sequences()
        return [oid for oid, state in now.items() if state != self.sequences.get(oid)]

    def _note_due(self, moved: Iterable[int]) -> tuple[str, ...]:
        """Note how sequences are set to what they were; those made by the test are gone with it.

        It is done together with the next beginning, which saves a round trip: until then nobody has the database.
        """
        states = [(oid, self.sequences[oid]) for oid in moved if oid in self.sequences]
        if states:
            settings = [
                f"EXECUTE freshpg_put_back({oid}, {last.decode()}, '{called.decode()}')".encode()
                for oid, (_, last, called) in states
            ]
            # A transaction of its own, or its locks would count as the next test's; rolling back undoes no setval.
            self._due = (b"BEGIN", *settings, b"DISCARD SEQUENCES", b"ROLLBACK")
        return tuple(sorted(name for _, (name, _, _) in states))

    def _others(self) -> int:
        """Return how many sessions besides ours are in the database."""
        return number_in(self._run(self._ask_others)[0])

    def _doubt(self, found: Neighbours) -> str:
        if self.neighbours == found:
            return ""
        if self.neighbours is None:
            return "other sessions were connected all the time"
        arrived = found.ever - self.neighbours.ever
        self.neighbours = None
        return f"{max(arrived, 1)} other session(s) came or went while the test ran"

    def _stop_users(self) -> None:
        """Wait for the turn; cancel, then cut, whoever runs a statement after the end of the test.

        Raises:
            TurnTimedOut: It did not help.
            psycopg.OperationalError: The connection had to be cut.
        """
        self.turns.block = None
        seconds, self.turns.seconds = self.turns.seconds, _PATIENCE
        try:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    self._wrapper.cancel_safe(timeout=_PATIENCE)
            try:
                self.turns.take(0)
            except TurnTimedOut:
                _shut(self.pgconn.socket)
                raise
            self.turns.give()
        finally:
            self.turns.seconds = seconds
        if (
            self.pgconn.pipeline_status
            or self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE
        ):
            raise psycopg.OperationalError("a statement was left half done")

    def _attempt(self, command: bytes) -> list[PGresult]:
        def talk() -> PQGen[list[PGresult]]:
            self.pgconn.send_query(command)
            found: list[PGresult] = yield from generators.execute(self.pgconn)
            return found

        return self._wrapper.wait(talk())

    def _run(self, command: bytes) -> list[PGresult]:
        results = self._attempt(command)
        raise_first(results)
        return results

    def _rows(self, query: str) -> list[Sequence[bytes]]:
        return rows_of(self._run(query.encode())[0])


def _shut(descriptor: int) -> None:
    """End the connection for whoever waits on its socket in another thread, without closing what they hold."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)
