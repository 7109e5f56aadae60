"""Who has which connection, who waits, and who is next. Pure: no input or output, no clock, no lock of its own.

An engine calls every method under one lock of its own, and does outside of it what an answer says: open a connection,
close some, wake somebody. Threads, tasks and tests of interleavings drive the same code.

A *unit* is the right to one connection of a server. It is taken before a connection is opened and given on when one is
taken out to be closed, so that callers who open and close outside the lock never exceed a limit.

Tenants take turns: each one whose callers wait has a ticket, the lowest is served next, and whoever was served goes to
the end. Within one tenant, who came first is served first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from freshpg.tenants.books import SYSTEM, Books, C
from freshpg.tenants.parts import (
    ALWAYS,
    MOVED,
    NEVER,
    NOBODYS,
    Counters,
    Grant,
    Member,
    Outcome,
    Pool,
    Waiter,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.tenants.books import LimitName
    from freshpg.tenants.limits import TenantLimits


class Closed(Exception):
    """The ledger is closed."""


class QueueFull(Exception):
    """As many callers wait as may; ``limit`` is what they wait for."""

    def __init__(self, limit: LimitName) -> None:
        super().__init__(limit)
        self.limit = limit


class Ledger(Books[C]):
    """Leases of one manager, and the queue for them. Times are seconds of one monotonic clock, given by the caller."""

    def __init__(self, limits: TenantLimits) -> None:
        super().__init__(limits)
        self.closed = False
        self.waiting = 0
        self.retired = Counters()
        """What pools counted that are closed by now."""
        self.limit_hits: dict[LimitName, int] = {}
        """How often a caller could not be served at once, by the limit that it met first."""
        # Rested where a tenant was before it moved: the next answer says to close them.
        self._stranded: list[Member[C]] = []
        self._ticket = 0
        # Pools below their own limit whose callers wait for a unit or for another pool to go, in order of their tickets.
        self._hungry: OrderedDict[Pool[C], None] = OrderedDict()

    # Leases

    def take(self, tenant: str | None, owner: object, now: float) -> Member[C] | None:
        """Lease a resting connection; ``None`` when there is none: then :meth:`request`."""
        pool = self.pools.get(tenant)
        if pool is None or not pool.idle:
            return None
        member = pool.idle.pop()
        pool.budget.idle -= 1
        member.owner = owner
        member.site = member.where = None
        member.since = now
        pool.leased.add(member)
        pool.counters.checkouts += 1
        return member

    def request(  # noqa: PLR0917 (called in one place of each engine, in a hurry)
        self, tenant: str | None, server: str, limit: int, owner: object, now: float, token: object
    ) -> Grant[C] | Waiter[C]:
        """Return what ``owner`` gets now, or its place in the queue; ``token`` is what the engine wakes it by.

        Args:
            tenant: Whose pool; it is made when there is none.
            server: Where the tenant's database is.
            limit: Connections that the tenant may have.
            owner: Who asks.
            now: The time.
            token: Kept in the waiter.

        Raises:
            Closed: The ledger is.
            QueueFull: As many wait already as may.
        """
        if self.closed:
            raise Closed
        before = self.pools.get(tenant)
        if before is not None and before.server.key != server:
            self._move(before)
        member = self.take(tenant, owner, now)
        if member is not None:
            return Grant(member.pool, member)
        pool = self._pool(tenant, server, limit)
        grant = self._reserve(pool)
        if grant is not None:
            grant.victims += self._stranded
            self._stranded.clear()
            return grant
        return self._queue(pool, Waiter(pool, owner, now, token))

    def opened(
        self, grant: Grant[C], connection: C, owner: object, now: float, *, seconds: float = 0.0
    ) -> Member[C]:
        """Record the connection that a reservation was for, leased to ``owner``; opening it took ``seconds``."""
        pool = grant.pool
        member = Member(connection, pool, grant.generation)
        lifetime = self.limits.lifetime
        member.expires_at = ALWAYS if lifetime is None else now + lifetime
        member.owner, member.since = owner, now
        pool.opening -= 1
        pool.leased.add(member)
        pool.counters.checkouts += 1
        pool.counters.opened += 1
        pool.counters.open_seconds += seconds
        return member

    def open_failed(self, grant: Grant[C], now: float, *, failed: bool = True) -> Outcome[C]:
        """Give a reservation back: the connection could not be opened, or its caller was stopped.

        Or it is not needed, and has not ``failed``.
        """
        grant.pool.opening -= 1
        grant.pool.counters.failed += failed
        self._released(grant.pool, 1)
        return self._serve(Outcome(), now)

    def give_back(self, member: Member[C], now: float, *, keep: bool = True) -> Outcome[C] | None:
        """End a lease; ``None`` when the connection rests in its pool again and nobody waits for anything.

        What is not to be kept is broken, closed, or in a state that nobody else should meet.
        """
        pool = member.pool
        pool.leased.remove(member)
        pool.counters.use_seconds += now - member.since
        member.owner = None
        member.reported = False
        if (
            not keep
            or now >= member.expires_at
            or member.generation != pool.generation
            or self.closed
        ):
            pool.counters.closed += 1
            self._released(pool, 1)
            return self._serve(Outcome([member]), now)
        member.idle_since = now
        pool.idle.append(member)
        pool.budget.idle += 1
        self.pools.move_to_end(pool.tenant)
        return self._pass_on(pool, now) if self.waiting else None

    def replace(self, member: Member[C], now: float) -> Grant[C]:
        """Exchange a leased connection that turned out to be dead for the reservation of another one.

        Everything that rested on its server since before now is doubted from here on.
        """
        pool = member.pool
        pool.leased.remove(member)
        pool.opening += 1
        pool.counters.checkouts -= 1
        pool.counters.closed += 1
        pool.counters.stale += 1
        self.suspect(pool.server.key, now)
        return Grant(pool, generation=pool.generation)

    def suspect(self, server: str, now: float) -> None:
        """Doubt every connection that rested on a server before now: whoever takes one next tests it."""
        self.servers[server].suspected_at = now

    def give_up(self, waiter: Waiter[C], now: float, *, timed_out: bool = True) -> bool:
        """Leave the queue, at a deadline or for another reason; ``False`` when something was granted meanwhile, which then has to be used."""
        if waiter.done:
            return False
        pool = waiter.pool
        pool.waiting.remove(waiter)
        waiter.done = True
        self.waiting -= 1
        pool.counters.timeouts += timed_out
        pool.counters.wait_seconds += now - waiter.since
        if not pool.waiting:
            self._hungry.pop(pool, None)
            self._forget_if_empty(pool)
        return True

    def condemn(self, member: Member[C]) -> None:
        """See to it that a leased connection is closed when it comes back, and not handed over to anybody."""
        member.generation = NOBODYS

    # Ends

    def close_tenant(self, tenant: str | None, now: float) -> Outcome[C]:
        """Take out what rests in a tenant's pool; what is in use, or being opened, is not kept when it comes back."""
        pool = self.pools.get(tenant)
        if pool is None:
            return Outcome()
        pool.generation += 1
        return self._serve(Outcome(self._emptied(pool)), now)

    def expire(self, now: float, tenants: Iterable[str | None] | None = None) -> Outcome[C]:
        """Take out what has rested for too long or is too old, of these tenants or of all."""
        outcome: Outcome[C] = Outcome()
        since = NEVER if self.limits.idle is None else now - self.limits.idle
        for tenant in tuple(self.pools) if tenants is None else tenants:
            pool = self.pools.get(tenant)
            if pool is None:
                continue
            over = [one for one in pool.idle if one.idle_since <= since or one.expires_at <= now]
            pool.counters.expired += len(over)
            for member in over:
                self._take_out(member)
            outcome.close += over
        return self._serve(outcome, now) if outcome.close else outcome

    def close(self, now: float) -> Outcome[C]:
        """Refuse everything from now on, take out what rests, and wake all who wait, with nothing."""
        self.closed = True
        outcome: Outcome[C] = Outcome()
        for pool in tuple(self.every()):
            for waiter in pool.waiting:
                waiter.done = True
                pool.counters.wait_seconds += now - waiter.since
            outcome.wake += pool.waiting
            self.waiting -= len(pool.waiting)
            pool.waiting.clear()
            outcome.close += self._emptied(pool)
        outcome.close += self._stranded
        self._stranded.clear()
        self._hungry.clear()
        return outcome

    # Units

    def _move(self, pool: Pool[C]) -> None:
        """Leave a pool to those who hold or wait for a connection to where its tenant was; nothing of it is kept."""
        pool.generation = MOVED
        self.moved.add(pool)
        del self.pools[pool.tenant]
        self._stranded += self._emptied(pool)

    def _reserve(self, pool: Pool[C]) -> Grant[C] | None:
        """Take a unit for a new connection, at the expense of what rests if need be."""
        if pool.size >= pool.limit:
            return None
        going = trimmed = None
        if self._needs_another_to_go(pool):
            going = self._resting_pool()
            if going is None:
                return None
        if pool.budget.full and (going is None or going.budget is not pool.budget):
            trimmed = self._resting_member(pool.budget)
            if trimmed is None:
                return None
        grant: Grant[C] = Grant(pool, generation=pool.generation)
        # Counted first: a pool that gives way to itself must not be forgotten in between.
        pool.opening += 1
        pool.budget.used += 1
        if not pool.is_open and pool.tenant is not SYSTEM:
            pool.is_open = True
            self.open_pools += 1
        if going is not None:
            going.counters.evicted += 1
            grant.victims += self._emptied(going)
        if trimmed is not None:
            trimmed.pool.counters.evicted += trimmed.pool.size == 1
            self._take_out(trimmed)
            grant.victims.append(trimmed)
        return grant

    def _take_out(self, member: Member[C]) -> None:
        pool = member.pool
        pool.idle.remove(member)
        pool.budget.idle -= 1
        pool.counters.closed += 1
        self._released(pool, 1)

    def _emptied(self, pool: Pool[C]) -> list[Member[C]]:
        members = list(pool.idle)
        pool.idle.clear()
        pool.budget.idle -= len(members)
        pool.counters.closed += len(members)
        self._released(pool, len(members))
        return members

    def _released(self, pool: Pool[C], units: int) -> None:
        """Free units whose connections or reservation the pool has let go of already."""
        pool.budget.used -= units
        if pool.is_open and not pool.size:
            pool.is_open = False
            self.open_pools -= 1
        self._forget_if_empty(pool)
        if pool.waiting and pool not in self._hungry and pool.size < pool.limit:
            self._line_up(pool)

    def _forget_if_empty(self, pool: Pool[C]) -> None:
        if pool.size or pool.waiting:
            return
        if pool in self.moved:
            self.retired.add(pool.counters)
            self.moved.remove(pool)
        elif pool.tenant is not SYSTEM and self.pools.get(pool.tenant) is pool:
            self.retired.add(pool.counters)
            del self.pools[pool.tenant]

    # The queue

    def _queue(self, pool: Pool[C], waiter: Waiter[C]) -> Waiter[C]:
        limit = self.blocker(pool)
        self.limit_hits[limit] = self.limit_hits.get(limit, 0) + 1
        allowed = self.limits.max_waiting
        if allowed is not None and self.waiting >= allowed:
            self.limit_hits["max_waiting"] = self.limit_hits.get("max_waiting", 0) + 1
            self._forget_if_empty(pool)
            raise QueueFull(limit)
        self.waiting += 1
        pool.waiting.append(waiter)
        if len(pool.waiting) == 1:
            pool.ticket = self._next_ticket()
            if limit in {"max_pools", "max_connections"}:
                self._hungry[pool] = None
        return waiter

    def _next_ticket(self) -> int:
        self._ticket += 1
        return self._ticket

    def _line_up(self, pool: Pool[C]) -> None:
        """Put a pool among the hungry at its turn; rare: one at its own limit lost a connection."""
        behind = [other for other in self._hungry if other.ticket > pool.ticket]
        self._hungry[pool] = None
        for other in behind:
            self._hungry.move_to_end(other)

    def _pass_on(self, pool: Pool[C], now: float) -> Outcome[C]:
        """Give a connection that just came back to whose turn it is."""
        outcome: Outcome[C] = Outcome()
        if pool.waiting and self._is_before_the_hungry(pool):
            self._hand_over(pool, outcome, now)
            return outcome
        self._serve(outcome, now)
        while pool.waiting and pool.idle:
            self._hand_over(pool, outcome, now)
        return outcome

    def _is_before_the_hungry(self, pool: Pool[C]) -> bool:
        head = next(iter(self._hungry), None)
        return head is None or pool.ticket <= head.ticket

    def _serve(self, outcome: Outcome[C], now: float) -> Outcome[C]:
        """Let the hungry have what is to be had, in their order."""
        outcome.close += self._stranded
        self._stranded.clear()
        served = bool(self._hungry)
        while served:
            served = False
            for pool in self._hungry:
                if pool.idle:
                    self._hand_over(pool, outcome, now)
                elif (grant := self._reserve(pool)) is not None:
                    self._grant(pool, grant, outcome, now)
                else:
                    continue
                served = True
                break
        return outcome

    def _hand_over(self, pool: Pool[C], outcome: Outcome[C], now: float) -> None:
        member = self.take(pool.tenant, pool.waiting[0].owner, now)
        if member is not None:
            self._grant(pool, Grant(pool, member), outcome, now)

    def _grant(self, pool: Pool[C], grant: Grant[C], outcome: Outcome[C], now: float) -> None:
        waiter = pool.waiting.popleft()
        waiter.done, waiter.grant = True, grant
        self.waiting -= 1
        outcome.wake.append(waiter)
        pool.counters.waits += 1
        pool.counters.wait_seconds += now - waiter.since
        self._hungry.pop(pool, None)
        if pool.waiting:
            pool.ticket = self._next_ticket()
            if pool.size < pool.limit:
                self._hungry[pool] = None
