"""The half of tenant pools that does what the ledger decides, for tasks."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psycopg.pq import TransactionStatus

from freshpg.tenants import failures
from freshpg.tenants.aio.bells import Bell
from freshpg.tenants.aio.opening import Connection, close_now, read_capacity
from freshpg.tenants.books import SYSTEM
from freshpg.tenants.forks import start_anew_in_children
from freshpg.tenants.lease import Lease, calling_stack, lease_of, name_of
from freshpg.tenants.ledger import Closed, Ledger, QueueFull
from freshpg.tenants.liveness import abandon, is_alive
from freshpg.tenants.parts import Grant, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Clock
    from freshpg.tenants.address import Address, Addresses
    from freshpg.tenants.aio.opening import Act, AsyncOpener
    from freshpg.tenants.limits import TenantLimits
    from freshpg.tenants.metrics import Observer
    from freshpg.tenants.parts import Member, Outcome

_logger = logging.getLogger("freshpg.tenants")

Task = asyncio.Task[Any] | None


class AsyncEngine:
    """Leases connections of one manager to tasks.

    What stands between two awaits happens as one: whenever a task is cancelled, it is either in the queue or has what
    it was granted, and gives up the one or the other. ``lock`` guards ``ledger`` against other threads, which look in
    for metrics or run a loop of their own; nothing is awaited under it.

    Args:
        addresses: Where tenants are.
        opener: Opens connections.
        limits: How much may be used.
        check: The user's test of a connection before it is handed out.
        reset: What the user does to a connection before the next one gets it.
        stale_after: Seconds of rest after which a connection is looked at before it is handed out.
        record_stacks: Whether leases remember who took them.
        clock: Tells the time.
    """

    def __init__(
        self,
        addresses: Addresses,
        opener: AsyncOpener,
        limits: TenantLimits,
        *,
        check: Act | None,
        reset: Act | None,
        stale_after: float,
        record_stacks: bool,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self.monotonic = clock.monotonic
        self.stale_after = stale_after
        self.reset = reset
        self.opener = opener
        self._addresses = addresses
        self._check = check
        self._record_stacks = record_stacks
        self._observer: Observer | None = None
        self.careful = check is not None or record_stacks
        """Whether every checkout goes through :meth:`lease`."""
        self.on_opened: Callable[[], None] | None = None
        """Called after each connection that was opened."""
        self._inherited: set[Member[Connection]] = set()
        self._start()
        start_anew_in_children(self)

    def _start(self) -> None:
        self.lock = threading.Lock()
        self.ledger: Ledger[Connection] = Ledger(self.limits)
        self._drains: set[Bell] = set()
        self._measuring: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )
        self._system_measured = not self._addresses.has_system

    @property
    def observer(self) -> Observer | None:
        """Is told of what takes time; ``None`` costs nothing."""
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = observer
        self.careful = self._check is not None or self._record_stacks or self._observer is not None

    # Leases

    async def lease(
        self,
        tenant: str | None,
        member: Member[Connection] | None,
        owner: Task,
        timeout: float | None,  # noqa: ASYNC109 (one deadline for the queue and for the connection)
    ) -> Member[Connection]:
        """Return a leased connection that was looked at: ``member``, or what takes its place.

        Raises:
            TenantError: There is none, for whatever reason; nothing is held then, nor when it is cancelled.
        """
        started = self.monotonic()
        until = started + (self.limits.wait if timeout is None else timeout)
        if member is None:
            member = await self._ask_for(tenant, owner, until)
        if not await self._is_fit(member):
            member = await self._replace(member, owner, until)
        if self._record_stacks:
            member.where = calling_stack()
        if self._observer is not None:
            self._observer.waited(tenant, self.monotonic() - started)
        return member

    def give_back(self, member: Member[Connection], *, keep: bool) -> None:
        """End a lease."""
        now = self.monotonic()
        if not keep and member in self._inherited:
            # The parent of this process holds it.
            return
        since = member.since
        with self.lock:
            outcome = self.ledger.give_back(member, now, keep=keep)
            if not keep and member.connection.broken:
                self.ledger.suspect(member.pool.server.key, now)
        if outcome is not None:
            self.carry_out(outcome)
        if self._observer is not None:
            self._observer.used(member.pool.tenant, now - since)

    async def reset_done(self, connection: Connection) -> bool:
        """Run the user's reset; whether the connection can be used again."""
        if self.reset is None:
            return True
        try:
            await self.reset(connection)
        except Exception:
            _logger.warning("reset failed, its connection is closed", exc_info=True)
            return False
        return connection.pgconn.transaction_status == TransactionStatus.IDLE

    def carry_out(self, outcome: Outcome[Connection]) -> None:
        """Do what the ledger said: close first, so that whoever is woken finds the server with room."""
        for member in outcome.close:
            close_now(member.connection)
        for waiter in outcome.wake:
            if not waiter.token.ring():
                # Its loop ended while it waited: what it got is for the next one.
                self._leave(waiter)
        for bell in tuple(self._drains):
            bell.ring()

    def leases(self) -> list[Lease]:
        """Return every connection in use, the one held longest first."""
        now = self.monotonic()
        with self.lock:
            found = [
                lease_of(member, now, name_of(member.owner)) for member in self.ledger.leased()
            ]
        return sorted(found, key=lambda lease: -lease.seconds)

    @property
    def has_connections(self) -> bool:
        """Whether any connection is open, or being opened."""
        with self.lock:
            return any(pool.size for pool in self.ledger.every())

    async def drained(self, empty: Callable[[], bool], until: float) -> bool:
        """Wait until ``empty``, looked at whenever a connection comes back to be closed; whether it was in time."""
        while True:
            bell = Bell()
            with self.lock:
                if empty():
                    return True
                self._drains.add(bell)
            try:
                if not await bell.heard(until - self.monotonic()):
                    with self.lock:
                        return empty()
            finally:
                self._drains.discard(bell)

    async def measure(self, address: Address, seconds: float) -> None:
        """Find out, once a server, how many connections it has; others that need it wait for the first.

        Raises:
            TenantLimitsInvalid: The limits allow more than the system database's server has.
            TenantError: It cannot be reached.
        """
        if self._is_measured(address):
            return
        locks = self._measuring.setdefault(asyncio.get_running_loop(), {})
        lock = locks.setdefault(address.server, asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await lock.acquire()
        except TimeoutError:
            raise failures.not_measured(address, seconds) from None
        try:
            if not self._is_measured(address):
                await self._ask_for_capacity(address, self.monotonic() + seconds)
        finally:
            lock.release()

    def forget_parent(self) -> None:
        """Start anew in a forked child: without connections or callers of its parent."""
        old = self.ledger
        self._start()
        self.ledger.closed = old.closed
        self.opener.breakers.forget()
        for pool in tuple(old.every()):
            self._inherited |= pool.leased
            for member in (*pool.idle, *pool.leased):
                abandon(member.connection)

    # How a connection is found

    async def _ask_for(self, tenant: str | None, owner: Task, until: float) -> Member[Connection]:
        if self.ledger.closed:
            raise failures.closed(tenant)
        if not self._system_measured:
            await self.measure(self._addresses.of(SYSTEM), until - self.monotonic())
        address = self._addresses.of(tenant)
        await self.measure(address, until - self.monotonic())
        grant = await self._request(address, owner, until)
        return grant.member or await self._open(grant, address, owner, until)

    async def _request(self, address: Address, owner: Task, until: float) -> Grant[Connection]:
        now = self.monotonic()
        try:
            with self.lock:
                answer = self.ledger.request(
                    address.tenant, address.server, address.limit, owner, now, Bell()
                )
        except Closed:
            raise failures.closed(address.tenant) from None
        except QueueFull as full:
            most = self.limits.max_waiting or 0
            raise failures.queue_full(address.tenant, full.limit, most, self.leases()) from None
        return await self._wait(answer, until) if isinstance(answer, Waiter) else answer

    async def _wait(self, waiter: Waiter[Connection], until: float) -> Grant[Connection]:
        try:
            woken = await waiter.token.heard(until - self.monotonic())
        except BaseException:
            self._leave(waiter)
            raise
        if not woken:
            self._give_up(waiter)
        if waiter.grant is None:
            raise failures.closed(waiter.pool.tenant)
        return waiter.grant

    def _give_up(self, waiter: Waiter[Connection]) -> None:
        """Leave the queue with an error, unless something was granted at the last moment."""
        now = self.monotonic()
        with self.lock:
            limit = self.ledger.blocker(waiter.pool)
            allowed = self.ledger.allowed(limit, waiter.pool)
            gone = self.ledger.give_up(waiter, now)
        if not gone:
            return
        tenant = waiter.pool.tenant
        if self._observer is not None:
            self._observer.timed_out(tenant)
        raise failures.not_in_time(tenant, limit, allowed, now - waiter.since, self.leases())

    def _leave(self, waiter: Waiter[Connection]) -> None:
        """Leave the queue for good: what was granted meanwhile goes to the next one."""
        with self.lock:
            gone = self.ledger.give_up(waiter, self.monotonic(), timed_out=False)
            # Once: a task whose loop ended is still to be finalised, and leaves then.
            grant, waiter.grant = waiter.grant, None
        if gone or grant is None:
            return
        if grant.member is not None:
            self.give_back(grant.member, keep=True)
        else:
            self._give_up_opening(grant)

    async def _open(
        self, grant: Grant[Connection], address: Address, owner: Task, until: float
    ) -> Member[Connection]:
        started = self.monotonic()
        try:
            _close_victims(grant)
            connection = await self.opener.open(address, until)
        except BaseException:
            self._give_up_opening(grant)
            raise
        # From here on nobody else has a turn until the connection is in the books.
        now = self.monotonic()
        with self.lock:
            member = self.ledger.opened(grant, connection, owner, now, seconds=now - started)
            closed = self.ledger.closed
        if closed:
            self.give_back(member, keep=False)
            raise failures.closed(address.tenant)
        if self._observer is not None:
            self._observer.created(address.tenant, now - started)
        if self.on_opened is not None:
            self.on_opened()
        return member

    def _give_up_opening(self, grant: Grant[Connection], *, failed: bool = True) -> None:
        _close_victims(grant)
        with self.lock:
            outcome = self.ledger.open_failed(grant, self.monotonic(), failed=failed)
        self.carry_out(outcome)

    # Whether it is any good

    async def _is_fit(self, member: Member[Connection]) -> bool:
        if not is_alive(member.connection):
            return False
        error = await self._refused(member)
        if error is not None:
            _logger.info("a connection of %r failed its check: %s", member.pool.tenant, error)
        return error is None

    async def _refused(self, member: Member[Connection]) -> Exception | None:
        """Run the user's test; return what it raised."""
        if self._check is None:
            return None
        try:
            await self._check(member.connection)
            # What the test asked is no beginning of the caller's transaction.
            if member.connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await member.connection.rollback()
        except Exception as error:  # noqa: BLE001 (a test says no by raising whatever it likes)
            return error
        except BaseException:
            self.give_back(member, keep=False)
            raise
        return None

    async def _replace(
        self, member: Member[Connection], owner: Task, until: float
    ) -> Member[Connection]:
        with self.lock:
            grant = self.ledger.replace(member, self.monotonic())
        try:
            close_now(member.connection)
            address = self._addresses.of(member.pool.tenant)
        except BaseException:
            self._give_up_opening(grant)
            raise
        if address.server == grant.pool.server.key:
            fresh = await self._open(grant, address, owner, until)
        else:
            self._give_up_opening(grant, failed=False)
            fresh = await self._ask_for(address.tenant, owner, until)
        error = await self._refused(fresh)
        if error is not None:
            self.give_back(fresh, keep=False)
            raise failures.check_refuses(address, error) from error
        return fresh

    # What the server has

    def _is_measured(self, address: Address) -> bool:
        if address.tenant is SYSTEM:
            return self._system_measured
        return self.ledger.knows_capacity(address.server)

    async def _ask_for_capacity(self, address: Address, until: float) -> None:
        connection = await self.opener.open_bare(address, until)
        try:
            capacity = await read_capacity(connection)
        finally:
            close_now(connection)
        is_system = address.tenant is SYSTEM
        if is_system:
            failures.check_capacity(self.limits, address.server, capacity)
        with self.lock:
            self.ledger.set_capacity(address.server, capacity, system=is_system)
        self._system_measured = self._system_measured or is_system


def _close_victims(grant: Grant[Connection]) -> None:
    while grant.victims:
        close_now(grant.victims.pop().connection)
