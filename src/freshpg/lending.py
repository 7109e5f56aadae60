"""What a started manager lends from: the server its tests share, kept up, and servers for one test alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, TemplateError
from freshpg.core.events import ServerReady
from freshpg.holding import Holding
from freshpg.isolation.levels import FACTS
from freshpg.provision.own import Variant
from freshpg.provision.plans import of_blueprint
from freshpg.provision.session import choose, open_servers
from freshpg.supervised import SupervisedServer
from freshpg.supervision.shared_breaker import SharedBreaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from freshpg.arena import Arena
    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.events import Bus
    from freshpg.core.settings import Settings
    from freshpg.isolation.base import Isolation
    from freshpg.isolation.levels import Level
    from freshpg.kept import KeptDatabase
    from freshpg.provision.running import RunningServer
    from freshpg.supervision.supervisor import Child
    from freshpg.templates.blueprint import Blueprint
    from freshpg.tenancy import Tenancy


@dataclass(slots=True)
class Grant:
    """A database that is out: who takes it back, and on which server it is."""

    name: str
    level: Isolation
    arena: Arena
    tests: Conninfo
    holding: Holding
    is_private: bool = False
    keep_as: KeptDatabase | None = None

    def loss(self, *, within: float = 0.0) -> FreshpgError | None:
        """Return what became of its server or lease while it was out; None while both are there."""
        loss = self.holding.loss_within(within) if within else self.holding.loss()
        return loss.error(self.name) if loss is not None else None

    def require_there(self) -> None:
        """Return when its server is there.

        Raises:
            ServerDied: It went away.
            LeaseLost: The lease on it ended.
        """
        error = self.loss()
        if error is not None:
            raise error


class Lending:
    """Enters databases for tests on servers that it obtains; safe to use from several threads.

    Args:
        settings: What the user decided.
        blueprints: The project's, by name.
        state: Where workers tell each other of a failing server.
        holder: Who uses the servers, for ``freshpg status``.
        variant: How the shared server differs from the usual kind; with one, nobody else will use it.
        beside: What else is kept up while there is a server, such as who records: starts last, stops first.
        events: Where to tell what happens.
        clock: Tells the time.

    Raises:
        NoServer: Nobody has one.
    """

    def __init__(
        self,
        settings: Settings,
        blueprints: Mapping[str, Blueprint],
        *,
        state: Path,
        holder: str,
        variant: Variant | None,
        beside: Sequence[Child] = (),
        events: Bus,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._holder = holder
        self._variant = variant
        self._events = events
        self._clock = clock
        self.choice = choose(settings)
        self._servers = open_servers(
            settings, self.choice, blueprints.values(), events=events, holder=holder, clock=clock
        )
        own = self.choice.conninfo is None
        server = (
            "this worker's server" if self.choice.conninfo is None else self.choice.conninfo.safe()
        )
        self._supervised = SupervisedServer(
            self._obtain,
            own=own,
            revive_keeper=self._servers.revive,
            # Servers of ours have one user each: what befalls one says nothing of the others.
            breaker=SharedBreaker(None if own else state, server, clock=clock),
            beside=beside,
            events=events,
            clock=clock,
        )

    def start(self) -> None:
        """Obtain the shared server.

        Raises:
            ServerError: It could not be reached, started or used.
        """
        try:
            self._supervised.start()
        except BaseException:
            self._servers.close()
            raise

    def stop(self) -> None:
        """Give all servers back, the shared one warm where that is wanted."""
        try:
            self._supervised.stop(linger=0.0 if self._variant else self._settings.linger)
        finally:
            self._servers.close()

    @property
    def holding(self) -> Holding:
        """The shared server as it is held now."""
        return self._supervised.holding

    def enter(self, blueprint: Blueprint, level: Level, test: str) -> Grant:
        """Enter a database equal to its template.

        Raises:
            FreshpgError: There is none to be had; see :meth:`DatabaseManager.acquire`.
        """
        self._require_sound(blueprint)
        if FACTS[level].needs_own_server and self._variant is None:
            return self._enter_private(blueprint, level, test)
        return self._supervised.hand_out(
            partial(self._enter_shared, blueprint=blueprint, level=level, test=test)
        )

    def tenancy(self, blueprint: Blueprint) -> tuple[Tenancy, Holding]:
        """Return who makes databases of tenants from a blueprint, on the shared server, and that server.

        Raises:
            TemplateError: Its template cannot be built.
        """
        self._require_sound(blueprint)
        return self._supervised.hand_out(
            lambda holding: (_arena(holding, blueprint).tenancy(), holding)
        )

    def _require_sound(self, blueprint: Blueprint) -> None:
        failures = self._servers.failures
        if blueprint.name in failures:
            raise of_blueprint(blueprint.name, failures[blueprint.name])

    def _enter_shared(
        self, holding: Holding, *, blueprint: Blueprint, level: Level, test: str
    ) -> Grant:
        holding.note(test)
        arena = _arena(holding, blueprint)
        isolation = arena.level("reset" if level == "server" else level)
        tests = arena.tests
        if FACTS[level].needs_own_server:
            tests = holding.running.tests(superuser=True)
        return Grant(isolation.enter(test), isolation, arena, tests, holding)

    def _enter_private(self, blueprint: Blueprint, level: Level, test: str) -> Grant:
        holding = self._hold(self._servers.private(Variant(replicating=True)), None)
        try:
            holding.note(test)
            arena = holding.arena(blueprint)
            isolation = arena.level(level)
            name = isolation.enter(test)
        except BaseException:
            holding.end(linger=0)
            raise
        # Roles, ALTER SYSTEM, replication: what this level allows takes a superuser, and nobody else is there.
        tests = holding.running.tests(superuser=True)
        return Grant(name, isolation, arena, tests, holding, is_private=True)

    def _obtain(self, supervised: SupervisedServer) -> Holding:
        running = self._start_alone(self._variant) if self._variant else self._servers.shared()
        return self._hold(running, supervised)

    def _start_alone(self, variant: Variant) -> RunningServer:
        began = self._clock.monotonic()
        running = self._servers.private(variant)
        seconds = self._clock.monotonic() - began
        self._events.emit(
            ServerReady(running.provider, running.version, running.how, seconds, running.why)
        )
        return running

    def _hold(self, running: RunningServer, supervised: SupervisedServer | None) -> Holding:
        return Holding(
            self._servers,
            running,
            stock=self._settings.stock,
            holder=self._holder,
            events=self._events,
            clock=self._clock,
            on_lease=supervised.lease_opened if supervised else _nothing,
            on_death=supervised.builder_died if supervised else _nothing,
        )


def _nothing(_: object) -> None:
    """Leave a server for one test alone to that test: it is not kept up."""


def _arena(holding: Holding, blueprint: Blueprint) -> Arena:
    try:
        return holding.arena(blueprint)
    except TemplateError as error:
        raise of_blueprint(blueprint.name, error) from None
