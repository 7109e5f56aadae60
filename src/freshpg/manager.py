"""``DatabaseManager``: walks the flow of the design, start to end.

::

    settings ─► blueprint ─► provider ─► server ─► template ─► slot ─lease─► database ─► test

It is the only place that hands out, resets, keeps and takes back databases.
"""

from __future__ import annotations

import atexit
import os
import weakref
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import LeaseClosed
from freshpg.core.events import Bus, DatabaseHandedOut, Event, ServerReady
from freshpg.core.settings import Settings, load_settings
from freshpg.handle import Database
from freshpg.health import NOT_STARTED, Health, examine
from freshpg.isolation.levels import parse
from freshpg.keeping import Shelf
from freshpg.lending import Lending
from freshpg.outstanding import Outstanding
from freshpg.provision.plans import blueprints_of, unknown_blueprint
from freshpg.provision.session import keeper_attempt
from freshpg.servers.shortage import shortage, shortages_named
from freshpg.sets import acquire_set, release_set
from freshpg.statistics import Statistics
from freshpg.supervision.noting import log_of, noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from freshpg.core.clock import Clock
    from freshpg.core.log import ErrorLog
    from freshpg.holding import Holding
    from freshpg.isolation.base import Isolation
    from freshpg.isolation.rollback.single import SingleConnection
    from freshpg.provision.own import Variant
    from freshpg.servers.discovery import Attempt, Choice
    from freshpg.sets import DatabaseSet
    from freshpg.supervision.supervisor import Child
    from freshpg.templates.blueprint import Blueprint
    from freshpg.tenancy import TenantDatabases


class DatabaseManager(Outstanding):
    """Leases databases of a project's blueprints to tests, programs and scripts.

    Everything is made on first use. Safe to use from several threads; a forked child has none of it.

    Args:
        settings: What the user decided; the current project's by default.
        blueprints: Further blueprints, which win over those of the settings with the same name.
        events: Where to tell what happens.
        holder: Who uses it (``gw0``), for ``freshpg status``.
        variant: How its server differs from the shared kind; with one, no other process will ever use that server.
        beside: What else is kept up while there is a server, such as who records: starts last, stops first.
        clock: Passed in by tests.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        blueprints: Iterable[Blueprint] = (),
        events: Bus | None = None,
        holder: str = "",
        variant: Variant | None = None,
        beside: Iterable[Child] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings or Settings.from_project()
        self.blueprints: Mapping[str, Blueprint] = blueprints_of(self.settings, blueprints)
        self.events = events or Bus()
        super().__init__(
            state=self.state_directory, keep=self.settings.keep, events=self.events, clock=clock
        )
        self.statistics = Statistics()
        self.events.subscribe(self._record)
        self.server: ServerReady | None = None
        self.choice: Choice | None = None
        self._holder = holder
        self._variant = variant
        self._beside = tuple(beside)
        self._clock = clock
        self._owner_pid = os.getpid()
        self._lending: Lending | None = None
        self._at_stop: list[Callable[[], object]] = []
        _stop_at_exit(self)

    @classmethod
    def from_project(
        cls,
        path: Path | str = ".",
        *,
        overrides: Mapping[str, tuple[Any, str]] | None = None,
        events: Bus | None = None,
        holder: str = "",
        variant: Variant | None = None,
    ) -> Self:
        """Return the manager of the project that ``path`` lies in.

        ``overrides`` are settings that win over files and environment: value and where it came from, by key.

        Raises:
            ConfigurationError: A setting is not valid.
        """
        settings = load_settings(Path(path), environment=os.environ, overrides=overrides or {})
        return cls(settings, events=events, holder=holder, variant=variant)

    def start(self) -> None:
        """Find or start the server; again is fine.

        Raises:
            NoServer: Nobody has one; says what was tried and what to install.
            ServerError: It could not be reached, started or used.
        """
        with self._lock, shortages_named("a server was to be had"):
            if self._lending is not None:
                return
            lending = Lending(
                self.settings,
                self.blueprints,
                state=self.state_directory,
                holder=self._holder,
                variant=self._variant,
                beside=self._beside,
                events=self.events,
                clock=self._clock,
            )
            self.choice = lending.choice
            lending.start()
            self._lending = lending
            self._keeping.sweep()

    def leave_up(self, *, seconds: float) -> None:
        """Let the server and every database that is out outlive :meth:`stop`, for ``seconds``; for a server of ours.

        Raises:
            LeaseClosed: The manager was not started.
        """
        self._require_lending().holding.stays = seconds

    def stop(self) -> None:
        """Take back what is still out and leave nothing behind but warm servers and kept databases; again is fine."""
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            lending = self._lending
            if lending is None:
                return
            try:
                if not lending.holding.stays:
                    self._release_all()
                while self._at_stop:
                    with suppress(Exception):
                        self._at_stop.pop()()
            finally:
                self._lending = None
                self._forget_all()
                lending.stop()

    def at_stop(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once when this manager stops, after the last database was taken back."""
        self._at_stop.append(callback)

    def health(self) -> Health:
        """Look at everything that tests depend on, from the socket to the migrated schema; nothing is changed."""
        with self._lock:
            holding = self._holding
        if holding is None:
            return NOT_STARTED
        return examine(
            holding.running, lambda: holding.lease, self.settings, self.blueprints.values()
        )

    @contextmanager
    def lease(
        self, blueprint: str = "main", *, isolation: str | None = None, test: str = ""
    ) -> Iterator[Database]:
        """Lend a database for a ``with`` block; see :meth:`acquire`. Errors that concern databases are logged."""
        with noted(lambda: self.log, test=test):
            database = self.acquire(blueprint, isolation=isolation, test=test)
            try:
                yield database
            except Exception as error:
                # Not every level asks the server something: what ended it may be seen here first.
                self.lost_under(error, [database])
                raise
            finally:
                self.release(database)

    @contextmanager
    def lease_all(
        self, *blueprints: str, isolation: str | None = None, test: str = ""
    ) -> Iterator[DatabaseSet]:
        """Lend a database of each blueprint named, or of all, for a ``with`` block: all of them or none.

        They are taken in one order, so that two who need the same ones never wait for each other; ``reset()`` of the
        set resets all. Raises what :meth:`acquire` raises.
        """
        with noted(lambda: self.log, test=test):
            databases = acquire_set(
                self, blueprints or self.blueprints, isolation=isolation, test=test
            )
            try:
                yield databases
            except Exception as error:
                self.lost_under(error, databases.values())
                raise
            finally:
                release_set(self, databases)

    def acquire(
        self, blueprint: str = "main", *, isolation: str | None = None, test: str = ""
    ) -> Database:
        """Hand out a database equal to its template, until :meth:`release`.

        Args:
            blueprint: Which of the project's databases.
            isolation: ``readonly``, ``rollback``, ``reset``, ``clone`` or ``server``; as the settings say by default.
            test: Who gets it, for errors and ``freshpg status``.

        Raises:
            BlueprintInvalid: There is no such blueprint.
            IsolationUnknown: There is no such level.
            TemplateError: Its template cannot be built.
            ServerError: No server could be had, or it failed.
            RestartsExhausted: A server of ours died too often; else one that died is replaced first.
            EmergencyMode: Too many hand-outs failed on a server that several workers use.
        """
        plan = self._blueprint(blueprint)
        level = parse(isolation or self._default_isolation(blueprint))
        self.start()
        began = self._clock.monotonic()
        try:
            grant = self._require_lending().enter(plan, level, test)
        except (OSError, RuntimeError) as error:
            named = shortage(error, "a database was to be handed out")
            if named is None:
                raise
            raise named from error
        name = grant.name
        database = Database(
            grant.tests.with_(dbname=name),
            blueprint=blueprint,
            isolation=level,
            owner=self,
            test=test,
            single=_single(grant.level, name) if level == "rollback" else None,
        )
        self._enter(database, grant)
        self.events.emit(DatabaseHandedOut(blueprint, name, level, self._clock.monotonic() - began))
        return database

    def tenant_databases(self, blueprint: str = "main", *, test: str = "") -> TenantDatabases:
        """Return a set of databases by tenant, empty at first: clones of a blueprint, made when a tenant is named.

        Whoever asks closes it; what is open when the manager stops is removed then.

        Args:
            blueprint: Which of the project's databases a tenant has.
            test: Who gets them, for errors.

        Raises:
            BlueprintInvalid: There is no such blueprint.
            TemplateError: Its template cannot be built.
            ServerError: No server could be had, or it failed.
        """
        plan = self._blueprint(blueprint)
        self.start()
        tenancy, holding = self._require_lending().tenancy(plan)
        return tenancy.open(test, Shelf(self._keeping, holding))

    @property
    def server_id(self) -> str:
        """The keeper's id for the server; empty before the start and for somebody else's."""
        return self._holding.running.id if self._holding else ""

    @property
    def socket_directory(self) -> str:
        """Directory of the server's Unix socket; empty before the start, and for a server that is reached otherwise."""
        address = self._holding.running.coordination if self._holding else None
        return address.host if address is not None and address.is_socket else ""

    @property
    def trail(self) -> tuple[Attempt, ...]:
        """Who was asked for a server, in order, and why each was taken or passed over; empty before the start."""
        if self.choice is None or self._holding is None:
            return ()
        running = self._holding.running
        if not running.own:
            return self.choice.trail
        return (keeper_attempt(warm=running.how == "warm"), *self.choice.trail)

    @property
    def state_directory(self) -> Path:
        """Where the project's own state lies: ``.freshpg`` beside its settings."""
        return self.settings.root / ".freshpg"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @cached_property
    def log(self) -> ErrorLog:
        """The project's log of errors, in which events about failures and errors of :meth:`lease` are written down."""
        return log_of(self.settings, who=self._holder)

    def _record(self, event: Event) -> None:
        self.statistics.record(event)
        if event.logged:
            self.log.take(event)
        if isinstance(event, ServerReady):
            self.server = event

    def _blueprint(self, name: str) -> Blueprint:
        if name not in self.blueprints:
            raise unknown_blueprint(name, self.blueprints)
        return self.blueprints[name]

    def _default_isolation(self, blueprint: str) -> str:
        if blueprint in self.settings.databases:
            return self.settings.database(blueprint).isolation or self.settings.isolation
        return self.settings.isolation

    @property
    def _holding(self) -> Holding | None:
        return self._lending.holding if self._lending else None

    def _require_lending(self) -> Lending:
        if self._lending is None:
            raise LeaseClosed(
                "a database manager was used", seen="it was stopped", todo=("start it again",)
            )
        return self._lending


def _single(level: Isolation, name: str) -> SingleConnection | None:
    """Return the one connection of a test with isolation ``rollback``."""
    from freshpg.isolation.rollback.level import RollbackIsolation

    return level.single(name) if isinstance(level, RollbackIsolation) else None


def _stop_at_exit(manager: DatabaseManager) -> None:
    """Stop the manager when the interpreter ends, without keeping it alive until then."""
    reference = weakref.ref(manager)

    def stop() -> None:
        alive = reference()
        if alive is not None:
            alive.stop()

    atexit.register(stop)
    # Without this it would unregister at exit as well, before stop had run.
    weakref.finalize(manager, atexit.unregister, stop).atexit = False
