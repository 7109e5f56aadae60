"""Databases of tenants: clones of one blueprint that a test makes by the tenant's name, and that end with the test.

A tenant's database is a slot like any other, of a base of its own (``shop_test_tenantdb``): its name is out of a finite
set, a lock says who has it, and a sweep finds what a killed process left.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import (
    DatabaseBusy,
    DatabaseGone,
    FreshpgError,
    LeaseClosed,
    WaitTimedOut,
)
from freshpg.core.names import tenants_base
from freshpg.handle import raise_all
from freshpg.isolation import acts
from freshpg.isolation.cloning import Cloner
from freshpg.leases.forks import abandon, disown_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.isolation.cloning import CloneSource
    from freshpg.keeping import Shelf
    from freshpg.kept import KeptDatabase
    from freshpg.leases.later import LaterLease
    from freshpg.leases.slots import Slot
    from freshpg.postgres.databases import Databases

MOST = 1024
"""Tenants' databases a blueprint may have on one server, over all runs that share it."""

AT_ONCE = 3
"""Control connections that make and drop databases: more would wait for each other in the server."""

_PATIENCE = 120.0
"""Seconds to wait for another thread that makes the same database; a statement of it ends before."""


@dataclass(frozen=True, slots=True)
class _Made:
    slot: Slot
    oid: int
    address: Conninfo


class Tenancy:
    """Makes and drops tenants' databases of one blueprint on one server; safe to use from several threads."""

    def __init__(
        self,
        connect: Callable[[], Databases],
        source: CloneSource,
        lease: LaterLease,
        tests: Conninfo,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.source = replace(source, base=tenants_base(source.base))
        self.lease = lease
        self.tests = tests
        self.clock = clock
        self._connect = connect
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._idle: list[Cloner] = []
        self._open: set[TenantDatabases] = set()
        disown_in_children(self)

    def open(self, test: str, shelf: Shelf) -> TenantDatabases:
        """Return a set of tenants' databases, empty, that nobody else sees; ``shelf`` takes those that are kept."""
        databases = TenantDatabases(self, test, shelf)
        with self._lock:
            self._open.add(databases)
        return databases

    def close(self, *, drop: bool = True) -> None:
        """End every set that is still open; with ``drop`` false, for a server that ends, only connections are closed."""
        with self._lock:
            still_open, self._open = self._open, set()
        problems: list[Exception] = []
        for databases in still_open if drop else ():
            try:
                databases.close()
            except FreshpgError as error:
                problems.append(error)
        self._close_idle(keep=0)
        raise_all(problems)

    def disown(self) -> None:
        """In a forked child: nothing here is the child's."""
        self._lock = threading.Lock()
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        idle, self._idle = self._idle, []
        still_open, self._open = self._open, set()
        for databases in still_open:
            databases.disown()
        for cloner in idle:
            abandon(cloner.admin)

    def forget(self, databases: TenantDatabases) -> None:
        """Hear that a set has ended."""
        with self._lock:
            self._open.discard(databases)
        self._close_idle(keep=1)

    @contextmanager
    def cloner(self) -> Iterator[Cloner]:
        """Lend a control connection that makes clones; broken ones are not lent again.

        Raises:
            ServerError: None could be opened.
            WaitTimedOut: All are at work, and none came back.
        """
        if not self._turn.acquire(timeout=_PATIENCE):
            raise WaitTimedOut(
                "a connection that makes and drops tenants' databases was waited for",
                on=self.source.base,
                seen=f"all {AT_ONCE} are at work, and none came back within {_PATIENCE:g} s",
                todo=("look into the server's log",),
            )
        try:
            cloner = self._next_idle() or Cloner(self._connect(), self.source)
            try:
                yield cloner
            finally:
                with self._lock:
                    self._idle.append(cloner)
        finally:
            self._turn.release()

    def _next_idle(self) -> Cloner | None:
        with self._lock:
            while self._idle:
                cloner = self._idle.pop()
                if cloner.admin.alive:
                    return cloner
                cloner.admin.close()
        return None

    def _close_idle(self, *, keep: int) -> None:
        with self._lock:
            surplus, self._idle = self._idle[keep:], self._idle[:keep]
        for cloner in surplus:
            cloner.admin.close()


class TenantDatabases:
    """Databases by tenant; one for each, however many threads ask. Gone when it is closed.

    Any name may be a tenant's: databases are named otherwise (``shop_test_tenantdb_2``).
    """

    def __init__(self, tenancy: Tenancy, test: str, shelf: Shelf) -> None:
        self.test = test
        self._tenancy = tenancy
        self._shelf = shelf
        self._kept: dict[str, KeptDatabase] = {}
        self._lock = threading.Lock()
        self._made: dict[str, Future[_Made]] = {}
        self._closed = False

    @property
    def server(self) -> Conninfo:
        """How tests connect to the server; no database is named."""
        return self._tenancy.tests

    @property
    def nobodys(self) -> str:
        """A name of a database that is none of these, and never will be one."""
        return f"{self._tenancy.source.base}_missing"

    @property
    def tenants(self) -> Mapping[str, str]:
        """Names of the databases there are, by tenant, in the order they were made."""
        with self._lock:
            made = {tenant: future for tenant, future in self._made.items() if _is_made(future)}
        return {tenant: future.result().slot.name for tenant, future in made.items()}

    def create(self, tenant: str) -> Conninfo:
        """Make a tenant's database, equal to the template, if there is none; return how tests connect to it.

        Raises:
            NoFreeSlot: Others hold all names there are; says who.
            ServerError: The server could not make it.
            LeaseClosed: This set was closed.
        """
        with self._lock:
            self._require_open(tenant)
            future = self._made.get(tenant)
            mine = future is None
            if future is None:
                future = self._made[tenant] = Future()
        if not mine:
            return self._awaited(tenant, future).address
        try:
            made = self._make()
        except BaseException as error:
            with self._lock:
                self._made.pop(tenant, None)
            future.set_exception(error)
            raise
        future.set_result(made)
        return made.address

    def address_of(self, tenant: str) -> Conninfo | None:
        """Return how tests connect to a tenant's database; None when there is none."""
        with self._lock:
            future = self._made.get(tenant)
        return future.result().address if future is not None and _is_made(future) else None

    def drop(self, tenant: str) -> bool:
        """Remove a tenant's database with every session in it; False when there is none.

        Raises:
            DatabaseBusy: Sessions that we may not end still hold it.
        """
        with self._lock:
            future = self._made.pop(tenant, None)
        if future is None:
            return False
        try:
            self._drop([self._awaited(tenant, future)])
        except FreshpgError:
            with self._lock:
                self._made.setdefault(tenant, future)
            raise
        return True

    def rows(self, question: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask their server something, from outside of them."""
        with self._tenancy.cloner() as cloner:
            return cloner.admin.rows(question, parameters)

    def keep(self, why: str) -> dict[str, str]:
        """Leave databases for inspection instead of removing them; return the names they will have, by tenant.

        As many of one set as the project keeps, those made last; the oldest on a full list give up their places.
        """
        tenants = self.tenants
        room = self._shelf.most - len(self._kept)
        chosen = [tenant for tenant in tenants if tenants[tenant] not in self._kept]
        for tenant in chosen[::-1][: max(0, room)]:
            self._kept[tenants[tenant]] = self._shelf.reserve(
                base=self._tenancy.source.base,
                user=self._tenancy.tests.user,
                test=self.test,
                why=f"{why}, tenant {tenant!r}",
            )
        return {
            tenant: self._kept[name].name for tenant, name in tenants.items() if name in self._kept
        }

    def clear(self) -> None:
        """Remove them all, but for those to be kept, and see that they are gone.

        Raises:
            FreshpgError: One could not be removed; the others are.
        """
        with self._lock:
            futures, self._made = self._made, {}
        # Whoever still makes one is waited for: what it makes is ours to remove.
        self._drop([future.result(_PATIENCE) for future in futures.values() if _becomes(future)])

    def close(self) -> None:
        """Do what :meth:`clear` does, and make no more; again is fine. Raises as :meth:`clear` does."""
        with self._lock:
            self._closed = True
        try:
            self.clear()
        finally:
            self._tenancy.forget(self)

    def disown(self) -> None:
        """In a forked child: they are the parent's to remove, and none is made here."""
        self._lock = threading.Lock()
        self._closed = True
        self._made = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.tenants)

    def __repr__(self) -> str:
        return f"<TenantDatabases of {self._tenancy.source.base} {dict(self.tenants)}>"

    def _make(self) -> _Made:
        tenancy = self._tenancy
        leases = tenancy.lease.connection
        (slot,) = leases.lease(tenancy.source.base, 1, MOST)
        try:
            with tenancy.cloner() as cloner:
                oid = cloner.make_anew(slot.name)
        except BaseException:
            leases.release([slot])
            raise
        return _Made(slot, oid, tenancy.tests.with_(dbname=slot.name))

    def _drop(self, made: list[_Made]) -> None:
        if not made:
            return
        problems: list[Exception] = []
        gone: list[_Made] = []
        with self._tenancy.cloner() as cloner:
            for one in made:
                try:
                    self._remove(cloner, one)
                    gone.append(one)
                except FreshpgError as error:
                    problems.append(error)
            problems += _not_gone(cloner.databases, gone)
        self._tenancy.lease.connection.release([one.slot for one in gone])
        raise_all(problems)

    def _remove(self, cloner: Cloner, one: _Made) -> None:
        name, kept = one.slot.name, self._kept.pop(one.slot.name, None)
        if kept is None:
            cloner.databases.drop(name, oid=one.oid)
            return
        rename = partial(acts.keep, cloner.databases, cloner.source, name, kept.name)
        # One that the test dropped itself cannot be kept, and is gone.
        with suppress(DatabaseGone):
            self._shelf.put(kept, partial(rename, test=kept.test, why=kept.why, oid=one.oid))

    def _awaited(self, tenant: str, future: Future[_Made]) -> _Made:
        try:
            return future.result(_PATIENCE)
        except TimeoutError:
            raise WaitTimedOut(
                "a tenant's database was waited for",
                on=tenant,
                seen=f"another thread makes it, and did not end within {_PATIENCE:g} s",
                todo=("look into the server's log",),
            ) from None

    def _require_open(self, tenant: str) -> None:
        if self._closed:
            raise LeaseClosed(
                "a tenant's database was to be made after its test had ended",
                on=tenant,
                seen=f"it belonged to {self.test}" if self.test else "",
                todo=("use a fixture of wider scope: pg_tenants_module, pg_tenants_run",),
            )


def _is_made(future: Future[_Made]) -> bool:
    return future.done() and future.exception() is None


def _becomes(future: Future[_Made]) -> bool:
    """Wait for whoever makes it; whether it was made."""
    return future.exception(_PATIENCE) is None


def _not_gone(databases: Databases, made: list[_Made]) -> list[Exception]:
    """Return what to raise when databases are there after they were dropped."""
    oids = {one.oid for one in made}
    found = databases.find_all([one.slot.name for one in made])
    left = [facts.name for facts in found if facts.oid in oids]
    if not left:
        return []
    return [
        DatabaseBusy(
            "tenants' databases were dropped and looked for",
            on=", ".join(left),
            seen="they are still there",
            todo=("look into the server's log", "freshpg clean removes them"),
        )
    ]
