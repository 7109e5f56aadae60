"""Opening connections in the caller's own thread: breaker, credentials, configuration, deadline."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from freshpg.core.backoff import delays
from freshpg.core.breaker import CircuitBreaker
from freshpg.core.errors import TenantCredentialsRefused, TenantLimitExceeded
from freshpg.tenants.connecting import connect
from freshpg.tenants.failures import (
    TESTIMONY,
    circuit_open,
    could_not_open,
    in_a_hurry,
    is_unclear,
    left_untidy,
    questions,
    speaks_of_the_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.errors import FreshpgError
    from freshpg.tenants.address import Address, Addresses

Connection = psycopg.Connection[Any]
Credentials = "Callable[[str | None], Mapping[str, Any]]"

CAPACITY = """
SELECT pg_catalog.current_setting('max_connections')::int
       - pg_catalog.current_setting('superuser_reserved_connections')::int
       - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int
"""
"""Connections that a server has for users; https://www.postgresql.org/docs/current/runtime-config-connection.html"""


TELLING = 1.0
"""Seconds without an answer after which a server is said to be silent; a caller with less proves nothing."""


class Breakers:
    """One circuit breaker for each server, never for a tenant."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, server: str) -> CircuitBreaker:
        """Return a server's breaker."""
        found = self._breakers.get(server)
        # setdefault is one step: two threads get the same one.
        return found or self._breakers.setdefault(server, CircuitBreaker(clock=self._clock))

    def forget(self) -> None:
        """Know nothing of any server."""
        self._breakers = {}

    def require(self, address: Address) -> CircuitBreaker:
        """Return the breaker of an address, which is told the outcome of the call it lets through.

        Raises:
            TenantServerDown: The circuit is open.
        """
        breaker = self.of(address.server)
        if not breaker.allow():
            raise circuit_open(address, breaker.retry_in, breaker.recent)
        return breaker

    @staticmethod
    def judge(
        breaker: CircuitBreaker,
        error: psycopg.Error,
        address: Address,
        time: Time,
        testimony: tuple[Any, ...] | None,
    ) -> FreshpgError:
        """Count a failure to connect, and return our error for it."""
        if isinstance(error, psycopg.errors.ConnectionTimeout) and not time.telling:
            breaker.abandon()
            return in_a_hurry(address, time.seconds)
        ours = could_not_open(error, address, testimony)
        if speaks_of_the_server(ours):
            breaker.record_failure()
        else:
            # It answered, if only to refuse.
            breaker.record_success()
        return ours


class Time:
    """What an attempt to connect may take: until a moment of its caller's, and no longer than ``most`` seconds."""

    def __init__(self, until: float, most: float, clock: Clock) -> None:
        started = clock.monotonic()
        self.seconds = max(0.0, min(until - started, most))
        self.telling = self.seconds >= min(TELLING, most)
        """Whether a server that does not answer in it is silent."""
        self._end = started + self.seconds
        self._clock = clock

    def is_over(self) -> bool:
        """Whether it is late."""
        return self._clock.monotonic() >= self._end


class Keywords:
    """What a connection is opened with.

    Args:
        credentials: Asked at each connection.
        application_name: What the server shows.
        kwargs: For ``psycopg.connect``: ``autocommit``, ``row_factory``, and so on.
        connect: Seconds that opening may take.
    """

    def __init__(
        self,
        credentials: Callable[[str | None], Mapping[str, Any]] | None,
        application_name: str | None,
        kwargs: Mapping[str, Any] | None,
        connect: float,
    ) -> None:
        self.credentials = credentials
        self._fixed = {"application_name": application_name} if application_name else {}
        self._kwargs = dict(kwargs or {})
        self._connect = connect
        # Of each host, where there are several; all of them together have the caller's time.
        self._each = max(2, ceil(min(connect, 1e6)))

    def time(self, until: float, clock: Clock) -> Time:
        """Return what an attempt may take whose caller has time until then."""
        return Time(until, self._connect, clock)

    def of(self, address: Address) -> dict[str, Any]:
        """Return them for one attempt."""
        asked = self.credentials(address.tenant) if self.credentials else {}
        return {
            **address.keywords,
            **self._fixed,
            "connect_timeout": self._each,
            **asked,
            **self._kwargs,
        }


class Opener:
    """Opens connections ready for use."""

    def __init__(
        self,
        addresses: Addresses,
        keywords: Keywords,
        breakers: Breakers,
        configure: Callable[[Connection], None] | None,
        clock: Clock,
    ) -> None:
        self._addresses = addresses
        self._keywords = keywords
        self.breakers = breakers
        self._configure = configure
        self._clock = clock

    def open(self, address: Address, until: float) -> Connection:
        """Open one, before the clock shows ``until``.

        Raises:
            TenantError: What kept it from being opened.
        """
        return self._made_ready(self.open_bare(address, until), address)

    def open_bare(self, address: Address, until: float) -> Connection:
        """Open one for questions of our own, without what the user does to those of theirs. Raises as :meth:`open` does."""
        pauses = delays(0.005, limit=0.25)
        while True:
            try:
                return self._connect(address, until)
            except TenantLimitExceeded:
                # A backend that was told to end holds its place for a moment longer.
                pause = next(pauses)
                if self._clock.monotonic() + pause >= until:
                    raise
                self._clock.sleep(pause)

    def _connect(self, address: Address, until: float) -> Connection:
        keywords = self._keywords.of(address)
        try:
            return self._attempt(address, keywords, until)
        except TenantCredentialsRefused:
            # They may have been exchanged between being asked for and used.
            again = self._keywords.of(address)
            if all(again[key] == keywords.get(key) for key in ("user", "password") if key in again):
                raise
        return self._attempt(address, again, until)

    def _attempt(self, address: Address, keywords: Mapping[str, Any], until: float) -> Connection:
        breaker = self.breakers.require(address)
        time = self._keywords.time(until, self._clock)
        try:
            connection = connect(keywords, time.is_over)
        except psycopg.Error as error:
            testimony = (
                self._testimony(error, address, time) if is_unclear(error, address) else None
            )
            raise self.breakers.judge(breaker, error, address, time, testimony) from error
        except BaseException:
            breaker.abandon()
            raise
        breaker.record_success()
        return connection

    def _testimony(
        self, error: psycopg.Error, address: Address, time: Time
    ) -> tuple[Any, ...] | None:
        """Ask the system database about a tenant's, where it is on the same server and answers."""
        witness = self._addresses.witness(address)
        if witness is None:
            return None
        asked = questions(error, address)
        try:
            with connect(self._keywords.of(witness), time.is_over) as connection:
                return connection.cursor(row_factory=tuple_row).execute(TESTIMONY, asked).fetchone()
        except Exception:  # noqa: BLE001 (whatever keeps it from answering, the tenant's own error matters more)
            return None

    def _made_ready(self, connection: Connection, address: Address) -> Connection:
        if self._configure is None:
            return connection
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        status = TransactionStatus(connection.pgconn.transaction_status)
        if status != TransactionStatus.IDLE:
            connection.close()
            raise left_untidy("configure", address, status.name)
        return connection


def read_capacity(connection: Connection) -> int:
    """Return how many connections the server has for users."""
    # Rows may be whatever the user's kwargs say.
    row = connection.cursor(row_factory=tuple_row).execute(CAPACITY).fetchone()
    connection.rollback()
    return int(row[0]) if row else 0
