"""A server that stays up for a person, with one database of each blueprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import UsageInvalid
from freshpg.core.events import Progress
from freshpg.manager import DatabaseManager
from freshpg.provision.own import OwnServers, Variant
from freshpg.provision.session import choose
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE
from freshpg.status.ending import end_server
from freshpg.status.servers import UP, OwnServer, own_servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.events import Event

STANDS_SECONDS = 10 * 365 * 86400.0
"""Until somebody says ``freshpg down``, or the machine restarts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it is; ``found`` when it was up already."""

    server: str
    version: str
    found: bool
    databases: dict[str, Conninfo]

    def to_json(self) -> dict[str, Any]:
        """Return the facts of the server as plain data."""
        return {"server": self.server, "version": self.version, "found": self.found}


def bring_up(path: Path | str, *, tcp: int | None, tell: Callable[[Event], None]) -> Standing:
    """Return the server that is up for the project, started now if there is none, and anew if its templates changed.

    Raises:
        UsageInvalid: One is up that does not listen on the wanted port.
        FreshpgError: None could be started, or a template failed.
    """
    manager = DatabaseManager.from_project(
        path,
        # One database of each is all there will be: none is made ready in advance.
        overrides={"stock": (0, "freshpg up")},
        variant=Variant(tcp_port=tcp, purpose=UP),
    )
    found = standing_server(str(manager.settings.root))
    manager.events.subscribe(tell)
    if found is not None:
        _check_port(found, tcp)
        if not _make_way(manager, found):
            return _again(manager, found)
        if tcp is None and found.loopback is not None:
            return bring_up(path, tcp=found.loopback.port, tell=tell)
    with manager:
        lent = {
            name: manager.acquire(name, isolation="reset", test="freshpg up")
            for name in manager.blueprints
        }
        databases = {name: database.conninfo for name, database in lent.items()}
        # Last: whatever failed before this takes the server with it.
        manager.leave_up(seconds=STANDS_SECONDS)
        version = manager.server.version if manager.server else ""
        server = manager.server_id
    return Standing(server, version, found=False, databases=databases)


def standing_server(project: str) -> OwnServer | None:
    """Return the server that is up for a project."""
    return next((one for one in own_servers() if one.project == project and one.state == UP), None)


def _make_way(manager: DatabaseManager, found: OwnServer) -> bool:
    """End a server whose templates are not as the project wants them any more; whether that was so.

    Its successor's image is made before: a migration that fails leaves it up.
    """
    settings, choice = manager.settings, choose(manager.settings)
    if choice.binaries is None:
        return False
    blueprints = manager.blueprints.values()
    servers = OwnServers(settings, choice, blueprints, events=manager.events, holder="freshpg up")
    try:
        if servers.image_key == found.image:
            return False
        manager.events.emit(
            Progress(
                "the server that is up is stale: migrations, settings or PostgreSQL changed since; it is replaced"
            )
        )
        servers.prepare()
    finally:
        servers.close()
    end_server(found)
    return True


def _again(manager: DatabaseManager, found: OwnServer) -> Standing:
    databases = {}
    for name, blueprint in manager.blueprints.items():
        user = SUPERUSER_ROLE if blueprint.superuser else TEST_ROLE
        address = found.database(blueprint.database, user)
        databases[name] = found.loopback.address(address) if found.loopback else address
    return Standing(found.id, found.version, found=True, databases=databases)


def _check_port(found: OwnServer, tcp: int | None) -> None:
    port = found.loopback.port if found.loopback else None
    if tcp is None or (port is not None and tcp in {0, port}):
        return
    raise UsageInvalid(
        "a server was to be brought up",
        on=f"port {tcp}" if tcp else "a port on 127.0.0.1",
        seen=f"one is up already, on port {port}" if port else "one is up already, without a port",
        todo=("end it first: freshpg down",),
    )
