"""Transaction blocks and pipelines of a rollback test: psycopg's, but for where the outermost transaction ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncPipeline, AsyncTransaction, Pipeline, Transaction

from freshpg.isolation.rollback.session import IDLE, ROLL_BACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import PQGen
    from psycopg.transaction import BaseTransaction

    _BaseTransaction = BaseTransaction[Any]
else:
    _BaseTransaction = object


class _SharedTransaction(_BaseTransaction):
    """``connection.transaction()``: the outermost one is a transaction of the test, the others are psycopg's."""

    def _enter_gen(self) -> PQGen[None]:
        connection = self._conn
        connection._check_connection_ok()
        self._is_outer = connection._session.status == IDLE
        if self._is_outer:
            yield from connection._begin_gen(connection._modes())
        else:
            connection._session.turns.enter_block(id(connection))
        yield from super()._enter_gen()

    def _push_savepoint(self) -> None:
        connection = self._conn
        self._outer_transaction = self._is_outer
        if not self._outer_transaction and not self._savepoint_name:
            self._savepoint_name = f"_pg3_{connection._num_transactions + 1}"
        self._stack_index = connection._num_transactions
        connection._num_transactions += 1

    def _get_enter_commands(self) -> Iterator[bytes]:
        return (
            command for command in super()._get_enter_commands() if not command.startswith(b"BEGIN")
        )

    def _commit_gen(self) -> PQGen[None]:
        yield from super()._commit_gen()
        if self._outer_transaction:
            yield from self._conn._end_gen(commit=True)

    def _get_commit_commands(self) -> Iterator[bytes]:
        self._require_transaction()
        return (command for command in super()._get_commit_commands() if command != b"COMMIT")

    def _rollback_gen(self, exc_val: BaseException | None) -> PQGen[bool]:
        is_swallowed = yield from super()._rollback_gen(exc_val)
        if self._outer_transaction:
            self._conn._session.open = False
            self._conn._session.turns.leave_block()
        return is_swallowed

    def _get_rollback_commands(self) -> Iterator[bytes]:
        self._require_transaction()
        for command in super()._get_rollback_commands():
            if command != b"ROLLBACK":
                yield command
            elif self._conn._session.open:
                yield ROLL_BACK

    def _require_transaction(self) -> None:
        if not self._outer_transaction and not self._conn._session.open:
            # A COMMIT inside the block ended the transaction around it.
            raise psycopg.errors.NoActiveSqlTransaction(
                "savepoints can only be used in transaction blocks"
            )


class Block(_SharedTransaction, Transaction):
    """A block of the synchronous connection."""

    __module__ = "psycopg"


class AsyncBlock(_SharedTransaction, AsyncTransaction):
    """A block of the asynchronous connection."""

    __module__ = "psycopg"


class _SharedPipeline:
    """A pipeline: what one sync ends is a transaction of its own, unless one is open."""

    _conn: Any

    def _enqueue_sync(self) -> None:
        self._conn.end_segment()
        super()._enqueue_sync()  # type: ignore[misc]


class ShortPipeline(_SharedPipeline, Pipeline):
    """A pipeline of the synchronous connection."""

    __module__ = "psycopg"


class AsyncShortPipeline(_SharedPipeline, AsyncPipeline):
    """A pipeline of the asynchronous connection."""

    __module__ = "psycopg"
