"""One connection for one block."""

from __future__ import annotations

import logging
from threading import current_thread
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

from freshpg.tenants.failures import entered_twice
from freshpg.tenants.lease import call_site

if TYPE_CHECKING:
    from types import TracebackType

    from freshpg.tenants.engine import Engine
    from freshpg.tenants.opening import Connection
    from freshpg.tenants.parts import Member

_logger = logging.getLogger("freshpg.tenants")

# Found faster than an attribute of the enumeration.
_AT_REST = TransactionStatus.IDLE


class Checkout:
    """Leases a connection while a ``with`` block runs: committed at its end, rolled back when it raises.

    A block that raises gets its own error, never one of the rollback.
    """

    __slots__ = ("_engine", "_member", "_tenant", "_timeout")

    def __init__(self, engine: Engine, tenant: str | None, timeout: float | None) -> None:
        self._engine = engine
        self._tenant = tenant
        self._timeout = timeout
        self._member: Member[Connection] | None = None

    def __enter__(self) -> Connection:
        if self._member is not None:
            raise entered_twice(self._tenant)
        engine = self._engine
        owner = current_thread()
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
            member = engine.lease(self._tenant, member, owner, self._timeout)
        member.site = site
        self._member = member
        return member.connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        member = self._member
        if member is None:
            return
        self._member = None
        engine = self._engine
        connection = member.connection
        pgconn = connection.pgconn
        try:
            if pgconn.transaction_status != _AT_REST:
                self._end(connection, failed=kind is not None)
        finally:
            keep = False
            try:
                keep = pgconn.transaction_status == _AT_REST and (
                    engine.reset is None or engine.reset_done(connection)
                )
            finally:
                engine.give_back(member, keep=keep)

    def _end(self, connection: Connection, *, failed: bool) -> None:
        """End what the block left open: a transaction, or a query that it did not read to its end."""
        if connection.closed:
            return
        if failed:
            self._roll_back(connection)
            return
        try:
            connection.commit()
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
        except Exception as error:  # noqa: BLE001 (whatever it is, the block's own error matters more)
            _logger.warning("rollback failed for tenant %r: %s", self._tenant, error)
