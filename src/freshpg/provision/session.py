"""Where the servers of a project come from: ours or somebody else's, behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from freshpg.servers import discovery, storage
from freshpg.servers.discovery import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.errors import FreshpgError
    from freshpg.core.events import Bus
    from freshpg.core.settings import Settings
    from freshpg.provision.own import Variant
    from freshpg.provision.running import RunningServer
    from freshpg.servers.discovery import Choice
    from freshpg.templates.blueprint import Blueprint


class Servers(Protocol):
    """What the manager asks of whoever provides servers."""

    @property
    def failures(self) -> Mapping[str, FreshpgError]:
        """Why some blueprints cannot be served, by name."""

    def shared(self) -> RunningServer:
        """Return the server that the tests of this process share."""

    def private(self, variant: Variant) -> RunningServer:
        """Return a server for one user alone."""

    def give_back(
        self, running: RunningServer, *, linger: float, left: Mapping[str, Any] | None = None
    ) -> None:
        """Give a server back, with what is ``left`` on it for the next owner."""

    def revive(self) -> None:
        """Have what watches servers of ours replaced where it has died."""

    def close(self) -> None:
        """End: nothing is given out any more."""


def choose(settings: Settings, *, ask_all: bool = False) -> Choice:
    """Return the provider that serves these settings.

    Raises:
        NoServer: None has a server; says what was tried and what to install.
        ServerError: A server given by address cannot be used.
    """
    providers = discovery.providers_for(
        settings.server, cache_root=storage.cache_root(), allow_create=settings.allow_create
    )
    return discovery.resolve(providers, settings.postgres, ask_all=ask_all)


def keeper_attempt(*, warm: bool) -> Attempt:
    """Return what asking the keeper came to; it is asked before any program is started."""
    why = (
        "a warm server with this image was free"
        if warm
        else "no free warm server has this image (settings, migrations and PostgreSQL build must be the same)"
    )
    return Attempt("keeper", taken=warm, why=why)


def open_servers(
    settings: Settings,
    choice: Choice,
    blueprints: Iterable[Blueprint],
    *,
    events: Bus,
    holder: str,
    clock: Clock,
) -> Servers:
    """Return the servers of the chosen provider."""
    if choice.binaries is not None:
        from freshpg.provision.own import OwnServers

        return OwnServers(settings, choice, blueprints, events=events, holder=holder, clock=clock)
    from freshpg.provision.foreign import ForeignServer

    return ForeignServer(settings, choice, events=events, clock=clock)
