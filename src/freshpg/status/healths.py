"""The health of a project's servers that run, whoever uses them; none is started."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.health.checks import Check, Health
from freshpg.health.examine import examine_address
from freshpg.health.server import Expected
from freshpg.leases import coordination
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.provision.plans import blueprints_of
from freshpg.provision.session import choose
from freshpg.status.servers import PATIENCE, UP, OwnServer, own_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings

ASKED = frozenset({"owned", "warm", UP})


def healths(settings: Settings) -> Iterator[tuple[str, Health]]:
    """Yield each running server of a project by a name for a person, with its health."""
    if settings.conninfo is not None:
        yield settings.conninfo.safe(), _of_given(settings, settings.conninfo)
    project = str(settings.root)
    for one in own_servers(look_inside=False):
        if one.project == project and one.state in ASKED:
            yield f"server {one.id} ({one.state})", of_own(settings, one)


def standing_health(settings: Settings) -> Health:
    """Return the health of the server that ``freshpg up`` left for a project, and of what is around."""
    for one in own_servers(look_inside=False):
        if one.project == str(settings.root) and one.state == UP:
            try:
                return of_own(settings, one, around=True)
            except FreshpgError as error:
                remedy = next(iter(error.todo), "")
                return Health((Check("settings", "bad", error.headline, remedy=remedy),))
    return Health((Check("server", "bad", "is not up any more", remedy="freshpg up"),))


def of_own(settings: Settings, server: OwnServer, *, around: bool = False) -> Health:
    """Return the health of one server of ours."""
    again = "freshpg up: it is replaced" if server.state == UP else ""
    return examine_address(
        server.coordination,
        _expected(settings, remedy=again, own=True),
        settings=settings if around else None,
        directory=server.directory,
    )


def _of_given(settings: Settings, address: Conninfo) -> Health:
    try:
        with Admin.connect(address, connect_timeout=PATIENCE, statement_timeout=PATIENCE) as admin:
            used = Databases(admin).find(coordination.NAME) is not None
    except FreshpgError:
        used = False
    place = address.with_(dbname=coordination.NAME) if used else address
    return examine_address(place, _expected(settings, remedy="", own=False))


def _expected(settings: Settings, *, remedy: str, own: bool) -> Expected:
    build = ""
    with suppress(FreshpgError):
        binaries = choose(settings).binaries if own else None
        build = binaries.build_id if binaries else ""
    blueprints = tuple(blueprints_of(settings, ()).values())
    return Expected(blueprints, settings.postgres, build, remedy)
