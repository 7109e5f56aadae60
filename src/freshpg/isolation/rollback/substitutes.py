"""What a connection of a rollback test has where psycopg has a lock, an info and a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import ConnectionInfo, pq

from freshpg.isolation.rollback.results import raise_first

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from freshpg.isolation.ownership import Ownership
    from freshpg.isolation.rollback.session import RollbackSession


class TurnLock:
    """Stands where psycopg has the lock of a connection: first the right to use it, then the turn."""

    def __init__(self, session: RollbackSession, ownership: Ownership, member: int) -> None:
        self._turns = session.turns
        self._ownership = ownership
        self._member = member

    def __enter__(self) -> None:
        self._ownership.require()
        self._turns.take(self._member)

    def __exit__(self, *error: object) -> None:
        self._turns.give()

    async def __aenter__(self) -> None:
        self._ownership.require()
        await self._turns.atake(self._member)

    async def __aexit__(self, *error: object) -> None:
        self._turns.give()


class InnerInfo(ConnectionInfo):
    """What ``connection.info`` says, with the state of the transaction as the test knows it."""

    def __init__(self, pgconn: Any, session: RollbackSession) -> None:
        super().__init__(pgconn)
        self._session = session

    @property
    def transaction_status(self) -> pq.TransactionStatus:
        """State of the inner transaction."""
        return self._session.status


class _OwnCommand:
    """Stands where a pipeline has the cursor of a command: what an earlier error skipped is not one of its own."""

    @staticmethod
    def _check_results(results: list[PGresult]) -> None:
        raise_first(results)

    @staticmethod
    def _set_results(results: list[PGresult]) -> None:
        """Nobody asks for them."""


OURS: Any = (_OwnCommand(), None)
"""What stands in the queue of a pipeline for a command of our own."""
