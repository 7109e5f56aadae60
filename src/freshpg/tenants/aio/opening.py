"""Opening connections in the caller's own task: breaker, credentials, configuration, deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from freshpg.core.backoff import delays
from freshpg.core.errors import TenantCredentialsRefused, TenantLimitExceeded
from freshpg.tenants.aio.credentials import ask
from freshpg.tenants.connecting import connect_async
from freshpg.tenants.failures import TESTIMONY, is_unclear, left_untidy, questions
from freshpg.tenants.opening import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.clock import Clock
    from freshpg.tenants.address import Address, Addresses
    from freshpg.tenants.aio.credentials import Credentials
    from freshpg.tenants.opening import Breakers, Keywords, Time

Connection = psycopg.AsyncConnection[Any]
Act = Callable[[Connection], Awaitable[object]]


class AsyncOpener:
    """Opens connections ready for use.

    Args:
        addresses: Where tenants are, and the system database, which is asked about refusals that are not understood.
        keywords: What they are opened with, but for credentials.
        credentials: Asked at each connection; may be a coroutine function.
        breakers: One for each server.
        configure: Makes a connection ready.
        clock: Tells the time.
    """

    def __init__(
        self,
        addresses: Addresses,
        keywords: Keywords,
        credentials: Credentials | None,
        breakers: Breakers,
        configure: Act | None,
        *,
        clock: Clock,
    ) -> None:
        self._addresses = addresses
        self._keywords = keywords
        self._credentials = credentials
        self.breakers = breakers
        self._configure = configure
        self._clock = clock

    async def open(self, address: Address, until: float) -> Connection:
        """Open one, before the clock shows ``until``.

        Raises:
            TenantError: What kept it from being opened.
        """
        connection = await self.open_bare(address, until)
        if self._configure is not None:
            await _make_ready(connection, address, self._configure)
        return connection

    async def keywords(self, address: Address) -> dict[str, Any]:
        """Return what one attempt is made with, credentials included."""
        if self._credentials is not None:
            address = address.with_keywords(await ask(self._credentials, address.tenant))
        return self._keywords.of(address)

    async def open_bare(self, address: Address, until: float) -> Connection:
        """Open one for questions of our own, without what the user does to those of theirs. Raises as :meth:`open` does."""
        pauses = delays(0.005, limit=0.25)
        while True:
            try:
                return await self._connect(address, until)
            except TenantLimitExceeded:
                # A backend that was told to end holds its place for a moment longer.
                pause = next(pauses)
                if self._clock.monotonic() + pause >= until:
                    raise
                await asyncio.sleep(pause)

    async def _connect(self, address: Address, until: float) -> Connection:
        keywords = await self.keywords(address)
        try:
            return await self._attempt(address, keywords, until)
        except TenantCredentialsRefused:
            # They may have been exchanged between being asked for and used.
            again = await self.keywords(address)
            if all(again.get(key) == keywords.get(key) for key in ("user", "password")):
                raise
        return await self._attempt(address, again, until)

    async def _attempt(
        self, address: Address, keywords: Mapping[str, Any], until: float
    ) -> Connection:
        breaker = self.breakers.require(address)
        time = self._keywords.time(until, self._clock)
        try:
            connection = await connect_async(keywords, time.is_over)
        except psycopg.Error as error:
            testimony = (
                await self._testimony(error, address, time) if is_unclear(error, address) else None
            )
            raise self.breakers.judge(breaker, error, address, time, testimony) from error
        except BaseException as error:
            breaker.abandon()
            # The half-open connection lives in a frame of the driver, and would as long as anybody keeps the error.
            clear_frames(error.__traceback__)
            raise
        breaker.record_success()
        return connection

    async def _testimony(
        self, error: psycopg.Error, address: Address, time: Time
    ) -> tuple[Any, ...] | None:
        """Ask the system database about a tenant's, where it is on the same server and answers."""
        witness = self._addresses.witness(address)
        if witness is None:
            return None
        asked = questions(error, address)
        try:
            async with await connect_async(
                await self.keywords(witness), time.is_over
            ) as connection:
                cursor = connection.cursor(row_factory=tuple_row)
                return await (await cursor.execute(TESTIMONY, asked)).fetchone()
        except Exception:  # noqa: BLE001 (whatever keeps it from answering, the tenant's own error matters more)
            return None


async def _make_ready(connection: Connection, address: Address, configure: Act) -> None:
    try:
        await configure(connection)
        _require_rest(connection, address)
    except BaseException:
        close_now(connection)
        raise


def _require_rest(connection: Connection, address: Address) -> None:
    status = TransactionStatus(connection.pgconn.transaction_status)
    if status != TransactionStatus.IDLE:
        raise left_untidy("configure", address, status.name)


def close_now(connection: Connection) -> None:
    """Close a connection without giving anybody else a turn, so that no cancellation can come in between."""
    closing = connection.close()
    try:
        # It has nothing to wait for: the server is told in one packet.
        closing.send(None)
    except StopIteration:
        return
    closing.close()
    connection.pgconn.finish()


async def read_capacity(connection: Connection) -> int:
    """Return how many connections the server has for users."""
    # Rows may be whatever the user's kwargs say.
    row = await (await connection.cursor(row_factory=tuple_row).execute(CAPACITY)).fetchone()
    await connection.rollback()
    return int(row[0]) if row else 0
