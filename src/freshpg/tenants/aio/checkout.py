"""One connection for one block."""

from __future__ import annotations

import asyncio
import logging
from asyncio import current_task
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

from freshpg.tenants.failures import entered_twice
from freshpg.tenants.lease import call_site

if TYPE_CHECKING:
    from types import TracebackType

    from freshpg.tenants.aio.engine import AsyncEngine
    from freshpg.tenants.aio.opening import Connection
    from freshpg.tenants.parts import Member

PATIENCE = 5.0
"""Seconds that a rollback may take; the connection is closed then, which rolls back as well."""

_logger = logging.getLogger("freshpg.tenants")
_AT_REST = TransactionStatus.IDLE


class AsyncCheckout:
    """Leases a connection while an ``async with`` block runs: committed at its end, rolled back when it raises.

    A block that raises gets its own error, never one of the rollback. One that is cancelled loses no connection: it
    goes back if it could be rolled back, and is closed otherwise.
    """

    __slots__ = ("_engine", "_member", "_tenant", "_timeout")

    def __init__(self, engine: AsyncEngine, tenant: str | None, timeout: float | None) -> None:
        self._engine = engine
        self._tenant = tenant
        self._timeout = timeout
        self._member: Member[Connection] | None = None

    async def __aenter__(self) -> Connection:
        if self._member is not None:
            raise entered_twice(self._tenant)
        engine = self._engine
        owner = current_task()
        site = call_site()
        now = engine.monotonic()
        with engine.lock:
            member = engine.ledger.take(self._tenant, owner, now)
        if (
            member is None
            or now - member.idle_since > engine.stale_after
            or member.idle_since < member.pool.server.suspected_at
            or engine.careful
        ):
            member = await engine.lease(self._tenant, member, owner, self._timeout)
        member.site = site
        self._member = member
        return member.connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        member = self._member
        if member is None:
            return
        self._member = None
        keep = False
        try:
            connection = member.connection
            pgconn = connection.pgconn
            if pgconn.transaction_status != _AT_REST:
                await self._end(connection, failed=kind is not None)
            keep = pgconn.transaction_status == _AT_REST and (
                self._engine.reset is None or await self._engine.reset_done(connection)
            )
        finally:
            self._engine.give_back(member, keep=keep)

    async def _end(self, connection: Connection, *, failed: bool) -> None:
        """End what the block left open: a transaction, or a query that it did not read to its end."""
        if connection.closed:
            return
        if failed:
            await self._roll_back(connection)
            return
        try:
            await connection.commit()
        except BaseException:
            await self._roll_back(connection)
            raise

    async def _roll_back(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.rollback()
        except Exception as error:  # noqa: BLE001 (whatever it is, the block's own error matters more)
            _logger.warning("rollback failed for tenant %r: %s", self._tenant, error)
