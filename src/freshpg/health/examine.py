"""The walk over all checks: for a manager that runs, and for a server that ``freshpg up`` left."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.health import verdicts
from freshpg.health.checks import Check, Health
from freshpg.health.server import Expected, all_leases, on_server, own_leases, unreachable
from freshpg.postgres.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings
    from freshpg.leases.lease import LeaseConnection
    from freshpg.provision.running import RunningServer
    from freshpg.templates.blueprint import Blueprint

PATIENCE = 5.0
_UNSURE = frozenset({"System V segment", "shared memory file"})
"""Left by some PostgreSQL of this user, which need not have been ours."""


def examine(
    running: RunningServer,
    lease: Callable[[], LeaseConnection],
    settings: Settings | None = None,
    blueprints: Iterable[Blueprint] = (),
) -> Health:
    """Ask everything that a manager's tests depend on; ``lease`` may still be on its way, or have been lost."""
    expected = Expected(
        # Those that this process could not read when it started have no template to be current.
        tuple(one for one in blueprints if not running.own or one.name in running.templates),
        settings.postgres if settings else None,
        running.site.build,
        "start a new run: this one keeps the templates it began with",
    )
    checks = [*_socket(running.coordination), *_asked(running.coordination, expected, lease)]
    if running.handle is not None:
        checks.append(_keeper(alive=running.handle.alive))
    where = running.handle.directory if running.handle else None
    return Health((*checks, *around(settings, where)))


def examine_address(
    address: Conninfo,
    expected: Expected,
    *,
    settings: Settings | None = None,
    directory: Path | None = None,
) -> Health:
    """Ask everything of a server that nobody here holds a lease on, and with ``settings`` what is around."""
    checks = (*_socket(address), *_asked(address, expected), *around(settings, directory))
    return Health(checks)


def around(settings: Settings | None, directory: Path | None) -> Iterator[Check]:
    """Yield what has to be right beside the server: room, leftovers, settings."""
    if directory is not None:
        with suppress(OSError):
            facts = os.statvfs(directory)
            yield verdicts.storage(str(directory), facts.f_bavail * facts.f_frsize)
    if settings is None:
        return
    yield _stale(settings)
    databases = ", ".join(settings.databases)
    yield Check(
        "settings", "good", f"valid; databases: {databases}", float(len(settings.databases))
    )


def _stale(settings: Settings) -> Check:
    # Late: a manager that nobody asks for its health needs none of it.
    from freshpg.status.leftovers import look_now

    try:
        found = look_now(settings)
        return verdicts.stale_objects([str(one) for one in found if one.kind not in _UNSURE])
    except FreshpgError as error:
        return Check("stale objects", "unknown", f"could not be looked for: {error.headline}")


def _socket(address: Conninfo) -> Iterator[Check]:
    if not address.host.startswith("/"):
        return
    path = Path(address.host, f".s.PGSQL.{address.port}")
    if path.is_socket():
        yield Check("socket", "good", str(path))
    else:
        remedy = (
            "somebody removed the server's directory: stop and start again; freshpg clean --yes"
        )
        yield Check("socket", "bad", f"{path} is not there", remedy=remedy)


def _asked(
    address: Conninfo, expected: Expected, lease: Callable[[], LeaseConnection] | None = None
) -> list[Check]:
    checks: list[Check] = []
    try:
        with Admin.connect(address, connect_timeout=PATIENCE, statement_timeout=PATIENCE) as admin:
            checks.extend(on_server(admin, expected))
            checks.append(all_leases(admin) if lease is None else own_leases(admin, lease()))
    except FreshpgError as error:
        return [unreachable(error), *(one for one in checks if one.name != "server")]
    return checks


def _keeper(*, alive: bool) -> Check:
    if alive:
        return Check("keeper", "good", "watches the server")
    return Check(
        "keeper",
        "bad",
        "is gone: nobody ends the server when this process is killed",
        remedy="stop and start again; the next keeper takes over what this one left",
    )
