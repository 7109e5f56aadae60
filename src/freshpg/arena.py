"""One blueprint on one server: its template, its slots, its stock, and the levels of isolation on top of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from freshpg.core.events import TemplateReady
from freshpg.core.names import template_name
from freshpg.isolation.audit.watch import Watch
from freshpg.isolation.clone import CloneIsolation
from freshpg.isolation.cloning import CloneSource
from freshpg.isolation.readonly import ReadonlyIsolation
from freshpg.isolation.reset import ResetIsolation
from freshpg.isolation.server import ServerIsolation
from freshpg.isolation.stock import CloneStock
from freshpg.leases.slots import Slot
from freshpg.postgres.databases import Databases
from freshpg.templates.builder import TemplateBuilder
from freshpg.templates.priming import prime

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.events import Bus
    from freshpg.isolation.base import Isolation
    from freshpg.isolation.levels import Level
    from freshpg.isolation.stock import Leave
    from freshpg.leases.later import LaterLease
    from freshpg.provision.running import RunningServer
    from freshpg.templates.blueprint import Blueprint
    from freshpg.tenancy import Tenancy

MOST_SLOTS = 256
"""Slots a blueprint may have on one server, over all runs that share it."""

HELD_AT_ONCE = 8
"""Slots for what one process holds at a time: a test may have a database for each scope, and some by ``lease()``."""


class Arena:
    """Hands out databases of one blueprint on one server; safe to use from several threads."""

    def __init__(
        self,
        running: RunningServer,
        blueprint: Blueprint,
        lease: LaterLease,
        *,
        ready: int,
        events: Bus,
        clock: Clock,
        on_death: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        self.running = running
        self.blueprint = blueprint
        self.tests: Conninfo = running.tests(superuser=blueprint.superuser)
        self._lease = lease
        said = running.fresh
        self._fresh = said if said and blueprint.database in said.names else None
        self._ready = ready
        self._events = events
        self._clock = clock
        self._on_death = on_death
        self._lock = threading.RLock()
        self._levels: dict[Level, Isolation] = {}
        self._stock: CloneStock | None = None
        self._tenancy: Tenancy | None = None
        self._template_lock = threading.Lock()
        self._template_seen = False
        self._primed = False
        self._users: Databases | None = None
        self.source = self._known_template() or self._build_template()

    def level(self, level: Level) -> Isolation:
        """Return one level of isolation for this blueprint."""
        with self._lock:
            if level not in self._levels:
                self._levels[level] = self._make(level)
            return self._levels[level]

    def tenancy(self) -> Tenancy:
        """Return who makes databases of tenants from this blueprint."""
        with self._lock:
            if self._tenancy is None:
                # Late: few tests have tenants.
                from freshpg.tenancy import Tenancy

                connect = self._connect_for_clones
                self._tenancy = Tenancy(
                    connect, self.source, self._lease, self.tests, clock=self._clock
                )
            return self._tenancy

    def revive(self) -> None:
        """Put a new builder of clones in the place of one that died."""
        with self._lock:
            stock = self._stock
        if stock is not None:
            stock.revive()

    def close(self, leave: Leave, *, deadline: float = 30.0) -> tuple[str, ...]:
        """End everything here; ``leave`` and ``deadline`` are for the databases, see :meth:`CloneStock.stop`.

        Returns:
            Names of clones that stay and that nobody used.
        """
        with self._lock:
            levels, self._levels = self._levels, {}
            stock, self._stock = self._stock, None
            tenancy, self._tenancy = self._tenancy, None
        try:
            if tenancy is not None:
                tenancy.close(drop=leave != "everything")
            for level in levels.values():
                level.close()
            return tuple(stock.stop(leave, deadline)) if stock else self._fresh_names
        finally:
            if self._users is not None:
                self._users.admin.close()

    @property
    def _fresh_names(self) -> tuple[str, ...]:
        return self._fresh.names[self.blueprint.database] if self._fresh else ()

    def _known_template(self) -> CloneSource | None:
        """Return the template that a server of ours was started with: its key says which, so nobody needs to ask."""
        fingerprint = self.running.templates.get(self.blueprint.name)
        if fingerprint is None:
            return None
        self._events.emit(TemplateReady(self.blueprint.name, fingerprint, "reused", 0.0))
        return self._source(template_name(self.blueprint.database, fingerprint), fingerprint)

    def _build_template(self) -> CloneSource:
        # The connection stays open: it holds the lock that keeps others from collecting the template.
        self._users = self.running.databases()
        try:
            template = self._builder(self._users).ensure(self.blueprint)
        except BaseException:
            self._users.admin.close()
            raise
        self._template_seen = True
        return self._source(template.name, template.fingerprint)

    def _source(self, template: str, fingerprint: str) -> CloneSource:
        return CloneSource(
            template=template,
            base=self.blueprint.database,
            blueprint=self.blueprint.name,
            fingerprint=fingerprint,
            owner=self.tests.user,
        )

    def _builder(self, databases: Databases) -> TemplateBuilder:
        return TemplateBuilder(
            databases.admin,
            self.running.site,
            intents=databases.intents,
            events=self._events,
            clock=self._clock,
        )

    def _connect(self) -> Databases:
        """Open a connection for making clones; the first one sees to it that there is something to clone."""
        databases = self.running.databases()
        try:
            with self._template_lock:
                # A test that is a superuser may have dropped it while it used this warm server before us.
                if not self._template_seen and databases.find(self.source.template) is None:
                    self._builder(databases).ensure(self.blueprint)
                self._template_seen = True
        except BaseException:
            databases.admin.close()
            raise
        return databases

    def _connect_for_clones(self) -> Databases:
        """Do the same for many clones, on a server that was just started."""
        databases = self._connect()
        try:
            with self._template_lock:
                if not self._primed and self.running.how in {"image", "initdb"}:
                    prime(databases, self.source.template)
                self._primed = True
        except BaseException:
            databases.admin.close()
            raise
        return databases

    def _make(self, level: Level) -> Isolation:
        connect = self._connect
        match level:
            case "readonly":
                return ReadonlyIsolation(connect, self.source, self._lease.connection)
            case "server":
                is_there = self.source.base in self._fresh_names
                return ServerIsolation(connect, self.source, is_there=is_there)
            case "clone":
                return CloneIsolation(connect, self._stocked(), self._new_watch())
            case "rollback":
                from freshpg.isolation.rollback.level import RollbackIsolation

                beneath = ResetIsolation(connect, self._stocked(), self._new_watch())
                return RollbackIsolation(beneath, self.tests, self.running.coordination.user)
            case _:
                return ResetIsolation(connect, self._stocked(), self._new_watch())

    def _new_watch(self) -> Watch:
        handle = self.running.handle
        return Watch(
            self._stocked(),
            self.running.coordination,
            data=handle.data if handle else None,
            superusers=self.blueprint.superuser,
            clock=self._clock,
            events=self._events,
        )

    def _stocked(self) -> CloneStock:
        if self._stock is None:
            slots = self._slots(self._ready + HELD_AT_ONCE)
            stock = CloneStock(
                self._connect_for_clones,
                self.source,
                slots,
                target=self._ready,
                events=self._events,
                clock=self._clock,
                on_death=self._on_death,
            )
            if self._fresh is not None:
                stock.start(fresh=self._fresh)
            else:
                with self._lease.connection.borrow() as admin:
                    stock.start(Databases(admin, own=self.running.own, clock=self._clock))
            self._stock = stock
        return self._stock

    def _slots(self, count: int) -> list[Slot]:
        base = self.blueprint.database
        if self._fresh is None:
            return self._lease.connection.lease(base, count, MOST_SLOTS)
        # Nobody else has this server, so there is no doubt which ones we get.
        slots = [Slot(base, number) for number in range(1, count + 1)]
        self._lease.hold(slots)
        return slots
