"""What the synchronous and the asynchronous connection of a rollback test have in common: a transaction inside another.

A transaction of theirs is a savepoint of the outer transaction. The savepoint of a committed one is released when the
next begins, so that a commit costs no round trip; a statement in autocommit mode is a transaction of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

import psycopg
from psycopg import ConnectionInfo, generators, pq
from psycopg._connection_base import BaseConnection

from freshpg.isolation.rollback.refusal import cannot
from freshpg.isolation.rollback.results import raise_first
from freshpg.isolation.rollback.session import IDLE, INERROR, NEW_SAVEPOINT, RELEASE, ROLL_BACK
from freshpg.isolation.rollback.substitutes import OURS, InnerInfo, TurnLock

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

    from freshpg.core.errors import RollbackCannot
    from freshpg.isolation.ownership import Ownership
    from freshpg.isolation.rollback.session import RollbackSession
    from freshpg.isolation.rollback.statements import Control

    _Base = BaseConnection[Any]
else:
    _Base = object

_CURSORS = "SELECT pg_catalog.quote_ident(name) FROM pg_catalog.pg_cursors WHERE NOT is_holdable AND name <> ''"


class Shared(_Base):
    """What the synchronous and the asynchronous connection have in common."""

    _session: RollbackSession
    _ownership: Ownership

    def join(self, session: RollbackSession, ownership: Ownership, first_statement: int) -> None:
        """Become a connection of a test; statements are prepared under names from number ``first_statement`` on."""
        self._session = session
        self._ownership = ownership
        self._guarded = False
        self._prepared._prepared_idx = self._first_statement = first_statement
        self.lock: Any = TurnLock(session, ownership, id(self))

    @property
    def prepared_some(self) -> bool:
        """Whether psycopg prepared statements for this connection."""
        return self._prepared._prepared_idx > self._first_statement

    @property
    def closed(self) -> bool:
        """Whether this connection was closed; the session it shares may go on."""
        return self._closed or self.pgconn.status == pq.ConnStatus.BAD

    @property
    def info(self) -> ConnectionInfo:
        """Properties of the connection."""
        return InnerInfo(self.pgconn, self._session)

    def finish(self) -> None:
        """Close, from anywhere: what was not committed is rolled back before anybody goes on."""
        if self._closed:
            return
        self._closed = True
        session = self._session
        block = session.turns.block
        if block is None or id(self) not in block.members:
            return
        block.members.discard(id(self))
        if not block.members and session.open:
            session.abandoned = True
            session.turns.free_block()

    def _check_connection_ok(self) -> None:
        if self._closed:
            self._ownership.require()
            raise psycopg.OperationalError("the connection is closed")
        super()._check_connection_ok()

    def _check_tpc(self) -> None:
        self._refuse(
            "a two-phase transaction was begun",
            "PREPARE TRANSACTION would end the outer transaction",
        )

    def _tpc_finish_gen(self, *_: Any) -> PQGen[None]:
        self._check_tpc()
        yield from ()

    def _start_query(self) -> PQGen[None]:
        """Begin a transaction, or what protects the rest of the test from a single statement."""
        self._check_connection_ok()
        session = self._session
        if session.listener is not self:
            self._listen()
        if session.abandoned:
            yield from self._roll_back_gen()
        if not session.open:
            if self._pipeline is None or not self._guarded:
                yield from self._guard_gen()
            if not self._autocommit:
                yield from self._begin_gen(self._modes())
        elif session.turns.block is not None:
            session.turns.enter_block(id(self))
        session.fresh = False

    def _listen(self) -> None:
        """Have what the server says besides results come here, as psycopg does for a connection of its own."""
        self._session.listener = self
        itself: Any = ref(self)
        self.pgconn.notice_handler = partial(BaseConnection._notice_handler, itself)
        self.pgconn.notify_handler = partial(BaseConnection._notify_handler, itself)

    def _guard_gen(self) -> PQGen[None]:
        """Have a savepoint to go back to, after all that was committed."""
        session = self._session
        if self.pgconn.transaction_status == INERROR:
            yield from self._send_gen(ROLL_BACK)
        elif not session.fresh:
            yield from self._send_gen(RELEASE, NEW_SAVEPOINT)
        self._guarded = self._pipeline is not None
        session.fresh = True

    def _modes(self) -> str:
        return self._get_tx_start_command().decode().removeprefix("BEGIN").strip()

    def _begin_gen(self, modes: str = "") -> PQGen[None]:
        """Begin the transaction that the test believes to be in."""
        session = self._session
        if session.abandoned:
            yield from self._roll_back_gen()
        yield from self._guard_gen()
        if modes:
            try:
                yield from self._send_gen(f"SET TRANSACTION {modes}".encode())
                if self._pipeline:
                    yield from self._pipeline._sync_gen()
            except psycopg.errors.ActiveSqlTransaction as error:
                raise self.explained(error) from error
        session.open = True
        session.turns.enter_block(id(self))
        if self._pipeline:
            yield from self._pipeline._sync_gen()

    def _end_gen(self, *, commit: bool) -> PQGen[bool]:
        """End it; return whether it was committed. An aborted one is rolled back either way, as by the server."""
        session = self._session
        if self._pipeline:
            yield from self._pipeline._sync_gen()
        if not session.open:
            return commit
        if commit and self.pgconn.transaction_status != INERROR:
            try:
                yield from self._check_constraints_gen()
                yield from self._close_cursors_gen()
            except BaseException:
                yield from self._roll_back_gen()
                raise
            session.open = False
            session.turns.leave_block()
            return True
        yield from self._roll_back_gen()
        return False

    def end_of_statement_gen(self) -> PQGen[None]:
        """Without a transaction, a statement is committed at once, and deferred constraints are checked then."""
        session = self._session
        if not session.open and self._pipeline is None:
            commands = session.constraint_check()
            if commands:
                yield from self._send_gen(*commands)

    def end_segment(self) -> None:
        """A pipeline is about to sync, which ends the transaction of what was sent since the last time."""
        if self._guarded and not self._session.open:
            self._enqueue(self._session.constraint_check())
        self._guarded = False

    def _check_constraints_gen(self) -> PQGen[None]:
        commands = self._session.constraint_check()
        if commands:
            yield from self._send_gen(*commands)
            if self._pipeline:
                yield from self._pipeline._sync_gen()

    def _close_cursors_gen(self) -> PQGen[None]:
        """A commit closes cursors that are not WITH HOLD."""
        if not self._session.holds_cursors or self._pipeline:
            return
        self._session.holds_cursors = False
        found = yield from super()._exec_command(_CURSORS)
        names = [found.get_value(row, 0) or b"" for row in range(found.ntuples)] if found else []
        if names:
            yield from self._send_gen(*(b"CLOSE " + name for name in names))

    def _roll_back_gen(self) -> PQGen[None]:
        session = self._session
        session.open = session.abandoned = False
        session.turns.leave_block()
        if not session.fresh or self.pgconn.transaction_status == INERROR:
            yield from self._send_gen(ROLL_BACK)
        session.fresh = True
        if self._pipeline:
            yield from self._pipeline._sync_gen()

    def _commit_gen(self) -> PQGen[None]:
        self._require_no_block("commit")
        if self._session.open:
            yield from self._end_gen(commit=True)

    def _rollback_gen(self) -> PQGen[None]:
        self._require_no_block("rollback")
        if self._pipeline:
            yield from self._pipeline._sync_gen()
        if self._session.open:
            yield from self._end_gen(commit=False)
            yield from self._forget_prepared_gen()

    def _forget_prepared_gen(self) -> PQGen[None]:
        self._prepared.clear()
        yield from self._prepared.maintain_gen(self)

    def _require_no_block(self, verb: str) -> None:
        self._check_connection_ok()
        if self._num_transactions:
            raise psycopg.ProgrammingError(
                f"Explicit {verb}() forbidden within a Transaction context."
            )

    def _check_intrans_gen(self, attribute: str) -> PQGen[None]:
        if self._pipeline:
            yield from self._pipeline._sync_gen()
        status = self._session.status
        if status != IDLE:
            inside = (
                "connection.transaction() context in progress"
                if self._num_transactions
                else f"connection in transaction status {status.name}"
            )
            raise psycopg.ProgrammingError(f"can't change {attribute!r} now: {inside}")

    def _exec_command(
        self, command: Any, result_format: pq.Format = pq.Format.TEXT
    ) -> PQGen[PGresult | None]:
        session = self._session
        if not session.open and self._pipeline is None:
            yield from self._guard_gen()
        session.fresh = False
        return (yield from super()._exec_command(command, result_format))

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        if name is None:
            self._session.dropped_statements = True
            for other in self._session.faces:
                if other is not self:
                    other.forget_prepared()
        yield from super()._deallocate(name)

    def _send_gen(self, *commands: bytes) -> PQGen[None]:
        """Send commands of our own in one round trip."""
        super()._check_connection_ok()
        if self._pipeline:
            self._enqueue(commands)
            return
        self.pgconn.send_query(b"; ".join(commands))
        raise_first((yield from generators.execute(self.pgconn)))

    def _enqueue(self, commands: tuple[bytes, ...]) -> None:
        assert self._pipeline is not None  # noqa: S101 (asked by every caller)
        for command in commands:
            self._pipeline.command_queue.append(
                partial(self.pgconn.send_query_params, command, None)
            )
            self._pipeline.result_queue.append(OURS)

    def control_gen(self, control: Control) -> PQGen[bytes]:
        """Do what a statement about transactions asks for; return the tag that the server would have answered with."""
        if self._pipeline:
            yield from self._pipeline._sync_gen()
        match control.kind:
            case "begin":
                yield from self._begin_by_text_gen(control)
            case "commit" | "rollback":
                return (yield from self._end_by_text_gen(control))
            case "two-phase":
                self._check_tpc()
            case _:
                self._refuse(
                    "several statements were sent as one text",
                    "one of them begins or ends a transaction",
                    ("send them one at a time",),
                )
        return control.tag.encode()

    def _begin_by_text_gen(self, control: Control) -> PQGen[None]:
        if not self._session.open:
            yield from self._begin_gen(control.modes)
        elif self.pgconn.transaction_status == INERROR:
            raise psycopg.errors.InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            )
        elif control.modes:
            yield from self._send_gen(f"SET TRANSACTION {control.modes}".encode())

    def _end_by_text_gen(self, control: Control) -> PQGen[bytes]:
        was_open = self._session.open
        if control.chain and not was_open:
            raise psycopg.errors.NoActiveSqlTransaction(
                f"{control.tag} AND CHAIN can only be used in transaction blocks"
            )
        modes = (yield from self._modes_gen()) if control.chain else ""
        committed = yield from self._end_gen(commit=control.kind == "commit")
        if control.chain:
            yield from self._begin_gen(modes)
        if was_open and not committed:
            yield from self._forget_prepared_gen()
        return b"COMMIT" if committed else b"ROLLBACK"

    def _modes_gen(self) -> PQGen[str]:
        """Return the modes that a chained transaction takes over; inside another, that is whether it may write.

        An error has taken them away before the server chains. In a pipeline it cannot be asked.
        https://www.postgresql.org/docs/current/sql-commit.html
        """
        if self._pipeline or self.pgconn.transaction_status == INERROR:
            return ""
        found = yield from super()._exec_command("SHOW transaction_read_only")
        return "READ ONLY" if found is not None and found.get_value(0, 0) == b"on" else ""

    def note(self, control: Control) -> None:
        """Take note of a statement about savepoints or prepared statements.

        Raises:
            psycopg.errors.NoActiveSqlTransaction: There is no transaction that it could be about.
        """
        session = self._session
        match control.kind:
            case "savepoint" if not session.open:
                raise psycopg.errors.NoActiveSqlTransaction(
                    "savepoints can only be used in transaction blocks"
                )
            case "prepares":
                session.holds_prepared = True
            case "forgets":
                session.dropped_statements = True

    def note_cursor(self, *, withhold: bool) -> None:
        """Take note of a cursor on the server.

        Raises:
            psycopg.errors.NoActiveSqlTransaction: It would end with the statement that makes it.
        """
        if self._autocommit and not self._session.open and not withhold:
            raise psycopg.errors.NoActiveSqlTransaction(
                "DECLARE CURSOR can only be used in transaction blocks"
            )
        self._session.holds_cursors = True

    def forget_prepared(self) -> None:
        """Another connection dropped all prepared statements of the session."""
        self._prepared.clear()
        self._prepared._to_flush.clear()

    def refuse_control(self) -> NoReturn:
        """Refuse to send a statement that would end the outer transaction.

        Raises:
            RollbackCannot: Always.
        """
        self._refuse(
            "a transaction was to be begun or ended",
            "the statement came by another way than execute()",
            ("use execute(), commit(), rollback() or transaction()",),
        )

    def explained(self, error: psycopg.Error) -> RollbackCannot:
        """Return what to tell a test that asked for something a part of a transaction cannot do."""
        return cannot(
            "a statement cannot run inside a transaction, and this test is inside one",
            on=self._session.name,
            seen=str(error).strip(),
            sqlstate=error.sqlstate or "",
        )

    def require_outer(self) -> None:
        """Check that the outer transaction stands.

        Raises:
            OuterTransactionEnded: The last statement ended it.
        """
        if self._session.is_lost:
            raise self._session.lost()

    def _refuse(self, failed: str, seen: str, todo: tuple[str, ...] = ()) -> NoReturn:
        raise cannot(failed, on=self._session.name, seen=seen, todo=todo)

    def refuse_notifies(self) -> NoReturn:
        """Refuse to wait for notifications.

        Raises:
            RollbackCannot: Always.
        """
        self._refuse(
            "notifications were waited for",
            "LISTEN takes effect when a transaction commits, and NOTIFY too",
        )
