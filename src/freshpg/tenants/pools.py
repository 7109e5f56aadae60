"""Connection pools of one system database and any number of tenant databases, for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.tenants import failures
from freshpg.tenants.address import Addresses
from freshpg.tenants.books import SYSTEM
from freshpg.tenants.checkout import Checkout
from freshpg.tenants.controls import KEEP, Controls
from freshpg.tenants.engine import Engine
from freshpg.tenants.lease import lease_of, pid_of
from freshpg.tenants.lifecycle import Lifecycle
from freshpg.tenants.limits import TenantLimits
from freshpg.tenants.liveness import sever
from freshpg.tenants.opening import Breakers, Keywords, Opener
from freshpg.tenants.rows import row_of, rows_of
from freshpg.tenants.stats import snapshot
from freshpg.tenants.upkeep import Upkeep, report_leak, seconds_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from freshpg.core.clock import Clock
    from freshpg.tenants.address import Location
    from freshpg.tenants.lease import Lease
    from freshpg.tenants.limits import TenantOverride
    from freshpg.tenants.metrics import Observer
    from freshpg.tenants.opening import Connection
    from freshpg.tenants.stats import TenantStats

_SLICE = 256
"""Pools looked at without letting anybody else in between."""


class TenantPools:
    """Hands out connections to tenants' databases and to the system database, within one set of limits.

    Safe to use from any number of threads, and in forked children, which start with no connection of their parent's.
    Connections are opened on demand in the caller's own thread, so that one tenant's slow server blocks nobody else;
    the least recently used tenant that nobody holds gives way at a limit.

    Args:
        tenants: A URL whose database or user holds ``{tenant}``, or what returns the location of a tenant.
        system: Where the system database is, or what returns it; left out, there is no system pool.
        limits: How much may be used.
        overrides: What single tenants have of their own, by name, or what returns it.
        credentials: Returns keywords such as ``user`` and ``password`` for a tenant, or ``None`` for the system
            database; asked at each connection.
        configure: Makes a new connection ready.
        reset: Makes a connection ready for the next one, after the transaction's end; where it raises, the connection
            is closed.
        check: Tests a connection before it is handed out; where it raises, the connection is replaced.
        kwargs: For ``psycopg.connect``: ``autocommit``, ``row_factory``, and so on.
        application_name: What the server shows as the name of these connections.
        template: Database that :meth:`ensure_database` copies; left out, databases are made empty.
        admin: Address of a role that may create databases, or what returns it for a tenant; left out, the system
            database's, or the tenant's own where that is on another server.
        leak_after: Seconds after which a connection that was not given back is reported once, with its stack.
        on_leak: Gets the report; left out, it is logged as a warning.
        stale_after: Seconds of rest after which a connection is looked at, without asking the server, before it is
            handed out.
        name: What metrics call these pools.
        clock: Tells the time.

    Raises:
        UrlInvalid: A URL cannot be understood, or that of tenants has no ``{tenant}`` in the right place.
    """

    def __init__(
        self,
        tenants: str | Callable[[str], Location],
        *,
        system: Location | Callable[[], Location] | None = None,
        limits: TenantLimits | None = None,
        overrides: Mapping[str, TenantOverride]
        | Callable[[str], TenantOverride | None]
        | None = None,
        credentials: Callable[[str | None], Mapping[str, Any]] | None = None,
        configure: Callable[[Connection], None] | None = None,
        reset: Callable[[Connection], None] | None = None,
        check: Callable[[Connection], None] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        application_name: str | None = "freshpg tenants",
        template: str | None = None,
        admin: Location | Callable[[str], Location] | None = None,
        leak_after: float | None = None,
        on_leak: Callable[[Lease], None] | None = None,
        stale_after: float = 0.1,
        name: str = "tenants",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self.limits = limits or TenantLimits()
        self._addresses = Addresses(
            tenants,
            system,
            overrides or {},
            limit=self.limits.max_per_tenant,
            system_limit=self.limits.system_connections,
            template=template,
        )
        every = seconds_between(self.limits, leak_after)
        self._controls = Controls(KEEP if every is not None else 0.0, clock)
        self._lifecycle = Lifecycle(self._addresses, admin, credentials, clock, self._controls)
        keywords = Keywords(credentials, application_name, kwargs, self.limits.connect)
        self._engine = Engine(
            self._addresses,
            Opener(self._addresses, keywords, Breakers(clock), configure, clock),
            self.limits,
            check=check,
            reset=reset,
            stale_after=stale_after,
            record_stacks=leak_after is not None,
            clock=clock,
        )
        self._leak_after = leak_after
        self._on_leak = on_leak or report_leak
        self._upkeep: Upkeep | None = None
        if every is not None:
            self._upkeep = Upkeep(self, every)
            self._engine.on_opened = self._upkeep.start

    # Using it

    def tenant(self, tenant: str, *, timeout: float | None = None) -> Checkout:
        """Lease a connection to a tenant's database for a ``with`` block, within ``timeout`` seconds.

        The block's end commits, an exception rolls back. Without a ``timeout``, ``TenantLimits.wait`` counts.

        Raises:
            InvalidTenantName: On entering, as all of these: the name makes no name of a database.
            TenantLimitExceeded: A limit is reached, and nobody gave anything back in time.
            TenantDatabaseMissing: There is no such database.
            TenantServerDown: Its server does not answer.
            TenantCredentialsRefused: The server refused the login.
            TenantPoolsClosed: :meth:`close` was called.
        """
        if tenant.__class__ is not str or not tenant:
            self._addresses.require_name(tenant)
        return Checkout(self._engine, tenant, timeout)

    def system(self, *, timeout: float | None = None) -> Checkout:
        """Lease a connection to the system database for a ``with`` block. Raises as :meth:`tenant` does."""
        return Checkout(self._engine, SYSTEM, timeout)

    def execute(self, tenant: str, query: Any, params: Any = None) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows, none where it returns none."""
        with self.tenant(tenant) as connection:
            return rows_of(connection, query, params)

    def fetch_one(self, tenant: str, query: Any, params: Any = None) -> Any:
        """Run one query in a transaction of its own; return its first row, or ``None``."""
        with self.tenant(tenant) as connection:
            return row_of(connection, query, params)

    def execute_system(self, query: Any, params: Any = None) -> list[Any]:
        """Do what :meth:`execute` does, in the system database."""
        with self.system() as connection:
            return rows_of(connection, query, params)

    def fetch_one_system(self, query: Any, params: Any = None) -> Any:
        """Do what :meth:`fetch_one` does, in the system database."""
        with self.system() as connection:
            return row_of(connection, query, params)

    # Life

    def open(self) -> Self:
        """Read what the system database's server has, and compare the limits with it; again is fine.

        The first use does the same.

        Raises:
            TenantLimitsInvalid: The limits allow more connections than the server has.
            TenantPoolsClosed: :meth:`close` was called.
            TenantError: The system database cannot be reached.
        """
        if self.closed:
            raise failures.closed(SYSTEM)
        if self._addresses.has_system:
            self._engine.measure(self._addresses.of(SYSTEM), self.limits.wait)
        return self

    def close(self, deadline: float = 30.0) -> None:
        """Refuse callers, close what rests, and wait up to ``deadline`` seconds for what is in use; again is fine.

        Raises:
            TenantHeld: Connections are still in use then; they are closed when they come back.
        """
        engine = self._engine
        started = engine.monotonic()
        with engine.lock:
            outcome = engine.ledger.close(started)
        engine.carry_out(outcome)
        if self._upkeep is not None:
            self._upkeep.stop()
        self._controls.close()
        with engine.lock:
            drained = engine.returned.wait_for(lambda: not engine.ledger.out, deadline)
            opening = engine.ledger.opening
        if not drained:
            waited = engine.monotonic() - started
            raise failures.still_held("tenant pools were closed", self.leases(), opening, waited)

    def close_tenant(self, tenant: str, deadline: float = 0.0) -> None:
        """Close a tenant's connections; those in use when they come back, for which it waits ``deadline`` seconds.

        The next use opens the pool again.

        Raises:
            TenantHeld: A deadline was given, and connections are still in use then.
        """
        engine = self._engine
        started = engine.monotonic()
        with engine.lock:
            outcome = engine.ledger.close_tenant(tenant, started)
        engine.carry_out(outcome)
        if deadline <= 0:
            return
        with engine.lock:
            gone = engine.returned.wait_for(lambda: not engine.ledger.out_of(tenant), deadline)
            opening = engine.ledger.out_of(tenant)
        if not gone:
            leases = [lease for lease in self.leases() if lease.tenant == tenant]
            waited = engine.monotonic() - started
            what = f"tenant {tenant!r} was closed"
            raise failures.still_held(what, leases, max(0, opening - len(leases)), waited)

    def ensure_database(self, tenant: str, deadline: float = 60.0) -> bool:
        """Make a tenant's database unless there is one; return whether it was made now.

        Exactly one of any number of processes makes it, within ``deadline`` seconds: a copy of the template, marked as
        ours, owned by the role of the tenant's address.

        Raises:
            InvalidTenantName: The name makes no name of a database.
            CreateDatabaseRefused: The role may not create databases.
            FreshpgError: The server refused something else, or it took too long.
        """
        made = self._lifecycle.ensure(tenant, deadline)
        if self._upkeep is not None:
            self._upkeep.start()
        return made

    def drop_database(self, tenant: str, deadline: float = 60.0) -> bool:
        """Drop a tenant's database, when nobody here uses it any more; ``False`` when there is none.

        Sessions of other programs in it are ended.

        Raises:
            TenantHeld: Somebody here still holds a connection to it after ``deadline`` seconds.
            NotOurs: :meth:`ensure_database` did not make it, so it carries no mark of ours.
            DatabaseBusy: Sessions that the role may not end still hold it.
        """
        self._addresses.of_tenant(tenant)
        self.close_tenant(tenant, deadline)
        dropped = self._lifecycle.drop(tenant, deadline)
        if self._upkeep is not None:
            self._upkeep.start()
        return dropped

    def warm(self, tenants: Iterable[str]) -> list[str]:
        """Open a connection for each tenant that has none, until one would have to give way; return who has one.

        Raises:
            TenantError: A connection could not be opened.
        """
        warmed: list[str] = []
        for tenant in tenants:
            with self._engine.lock:
                room = self._engine.ledger.has_room_for(tenant)
            if not room:
                break
            with self.tenant(tenant):
                warmed.append(tenant)
        return warmed

    def expire(self) -> None:
        """Close what has rested for too long, and report what is held for too long.

        The maintenance thread does this now and then.
        """
        engine = self._engine
        now = engine.monotonic()
        with engine.lock:
            tenants = list(engine.ledger.pools)
        for first in range(0, len(tenants), _SLICE):
            with engine.lock:
                outcome = engine.ledger.expire(now, tenants[first : first + _SLICE])
            engine.carry_out(outcome)
        self._controls.expire()
        if self._leak_after is not None:
            self._report_leaks(now - self._leak_after, now)

    def _report_leaks(self, since: float, now: float) -> None:
        with self._engine.lock:
            held = self._engine.ledger.leased()
            late = [one for one in held if one.since <= since and not one.reported]
            for member in late:
                member.reported = True
            leases = [lease_of(member, now, member.owner.name) for member in late]
        for lease in leases:
            self._on_leak(lease)

    # Looking at it

    def stats(self) -> TenantStats:
        """Return what all pools are doing and have done."""
        with self._engine.lock:
            return snapshot(self._engine.ledger)

    def leases(self) -> list[Lease]:
        """Return every connection in use, the one held longest first."""
        return self._engine.leases()

    def end_lease(self, pid: int) -> bool:
        """Cut a connection in use off from its holder, by the process id of its server's side; ``False`` if there is none.

        What runs on it is cancelled, and the holder's next use of it raises ``psycopg.OperationalError``.
        """
        with self._engine.lock:
            held = self._engine.ledger.leased()
            found = [member for member in held if pid_of(member.connection) == pid]
            for member in found:
                # Its holder may give it back between being cancelled and being cut off.
                self._engine.ledger.condemn(member)
        for member in found:
            sever(member.connection)
        return bool(found)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._engine.ledger.closed

    @property
    def observer(self) -> Observer | None:
        """Is told of what takes time; ``None`` costs nothing."""
        return self._engine.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._engine.observer = observer

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
