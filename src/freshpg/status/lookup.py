"""Finding a database by its name: kept, or on a server that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import DatabaseGone, UsageInvalid
from freshpg.core.settings.origin import nearest
from freshpg.kept import KeptList
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE
from freshpg.status.servers import UP, OwnServer, foreign_contents, own_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings
    from freshpg.kept import KeptDatabase
    from freshpg.leases.registry import DatabaseStatus


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is; ``what`` says for a person which one it is."""

    conninfo: Conninfo
    server: str
    what: str


def find_database(settings: Settings, name: str, *, server: str = "") -> Place | None:
    """Return a database that exists now, or None when ``name`` is a blueprint's of which none is up.

    Args:
        settings: The project's.
        name: Of a database, or of a blueprint (empty: ``main``) whose database ``freshpg up`` left running.
        server: Beginning of the id of one server, where several have a database of that name.

    Raises:
        DatabaseGone: It was kept, and its server has ended.
        UsageInvalid: There is none of that name, or there are several.
    """
    servers = [one for one in own_servers() if one.project == str(settings.root)]
    kept = KeptList(settings.root / ".freshpg").find(name)
    if kept is not None:
        return _kept(settings, kept, servers)
    if not name or name in settings.databases:
        return _standing(settings, name, servers)
    found = [
        place
        for place in (*_own(settings, name, servers), *_foreign(settings, name))
        if place.server.startswith(server)
    ]
    if len(found) != 1:
        raise _ambiguous(name, found) if found else _unknown(settings, name, servers)
    return found[0]


def _kept(settings: Settings, kept: KeptDatabase, servers: list[OwnServer]) -> Place:
    what = f"kept {kept.test}: {kept.why}"
    if not kept.server and settings.conninfo:
        return Place(kept.address(settings.conninfo), "", what)
    home = next((one for one in servers if one.id == kept.server), None)
    if home is None:
        raise DatabaseGone(
            "a kept database was looked for",
            on=kept.name,
            seen="its server has ended, and the database with it",
            todo=("run the test again with --pg-keep-failed",),
        )
    return Place(home.database(kept.name, kept.user), home.id, what)


def _standing(settings: Settings, name: str, servers: list[OwnServer]) -> Place | None:
    blueprint = name or "main"
    standing = next((one for one in servers if one.state == UP), None)
    if standing is None or standing.contents is None:
        return None
    for database in standing.contents.databases:
        if database.mark.blueprint == blueprint and database.mark.kind == "slot":
            return _place(settings, standing, database)
    return None


def _own(settings: Settings, name: str, servers: list[OwnServer]) -> Iterator[Place]:
    for server in servers:
        for database in server.contents.databases if server.contents else ():
            if database.name == name and database.mark.kind != "template":
                yield _place(settings, server, database)


def _place(settings: Settings, server: OwnServer, database: DatabaseStatus) -> Place:
    blueprint = database.mark.blueprint
    superuser = blueprint in settings.databases and settings.database(blueprint).superuser
    address = server.database(database.name, SUPERUSER_ROLE if superuser else TEST_ROLE)
    holders = "; ".join(str(holder) for holder in database.holders)
    return Place(address, server.id, holders or server.state)


def _foreign(settings: Settings, name: str) -> Iterator[Place]:
    if settings.conninfo is None:
        return
    contents = foreign_contents(settings.conninfo)
    for database in contents.databases if contents else ():
        if database.name == name and database.mark.kind != "template":
            holders = "; ".join(str(holder) for holder in database.holders)
            yield Place(
                settings.conninfo.with_(dbname=name), "", holders or "on the server of the settings"
            )


def _ambiguous(name: str, found: list[Place]) -> UsageInvalid:
    return UsageInvalid(
        "a database was looked for",
        on=name,
        seen="\n".join(f"server {place.server}: {place.what}" for place in found),
        todo=(f"say which server: freshpg psql {name} --server {found[0].server[:4]}",),
    )


def _unknown(settings: Settings, name: str, servers: list[OwnServer]) -> UsageInvalid:
    running = {
        database.name
        for server in servers
        for database in (server.contents.databases if server.contents else ())
        if database.mark.kind != "template"
    }
    kept = [one.name for one in KeptList(settings.root / ".freshpg").all()]
    known = sorted({*running, *kept, *settings.databases})
    near = nearest(name, known)
    return UsageInvalid(
        "a database was looked for",
        on=name,
        seen="no running server of this project has it, and none of this name was kept",
        todo=(
            *([f"did you mean {near}?"] if near else []),
            f"there are: {', '.join(known)}" if known else "freshpg status shows what there is",
        ),
    )
