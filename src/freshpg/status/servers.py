"""Servers of ours that run now, with what is on them and who uses it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from freshpg.core.conninfo import DEFAULT_PORT, Conninfo
from freshpg.core.errors import FreshpgError
from freshpg.leases import coordination, registry
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.wal.source import SqlWal
from freshpg.provision.loopback import Loopback
from freshpg.servers.cluster import TEST_ROLE
from freshpg.servers.postmaster import ADMIN_ROLE, COORDINATION_DATABASE, HIDDEN_PORT
from freshpg.status.keepers import running_keepers
from freshpg.templates.collect import list_templates

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.leases.registry import DatabaseStatus
    from freshpg.servers.keeper.reports import ServerRecord
    from freshpg.templates.records import TemplateRecord

UP = "up"
"""Purpose of a server that ``freshpg up`` left running."""

PATIENCE = 3.0
"""Seconds to wait for a server's answer; one that is stuck must not hide the others."""

_USE = """
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()),
       (SELECT coalesce(sum(pg_catalog.pg_database_size(oid)), 0)::bigint FROM pg_catalog.pg_database
         WHERE pg_catalog.has_database_privilege(oid, 'CONNECT'))
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is on a server: ``size`` in bytes over all its databases, ``connections`` without ours.

    ``audits`` says how changes are found there: read from the ``WAL files``, from ``WAL over SQL``, or ``asked``.
    """

    connections: int
    size: int
    databases: tuple[DatabaseStatus, ...]
    templates: tuple[TemplateRecord, ...]
    audits: str = "WAL files"

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "connections": self.connections,
            "size": self.size,
            "audits": self.audits,
            "databases": [_database_json(one) for one in self.databases],
            "templates": [template_json(one) for one in self.templates],
        }


@dataclass(frozen=True, slots=True)
class OwnServer:
    """One server of ours.

    Attributes:
        id: The keeper's name for it.
        project: Directory of the project it serves.
        state: ``owned``, ``warm`` (idle, waiting for a next run), ``up`` (left running), ``orphaned``, ``ending``, ``dead``.
        owner: Who uses it: pid and label; empty when nobody does.
        image: Key of the image it was started from.
        idle_left: Seconds until it is ended when nobody comes.
        contents: None when it does not answer; then ``problem`` says why.
    """

    id: str
    project: str
    provider: str
    version: str
    state: str
    purpose: str
    pid: int
    owner: dict[str, Any]
    idle_left: float | None
    directory: Path
    coordination: Conninfo
    image: str = ""
    loopback: Loopback | None = field(default=None, repr=False)
    contents: Contents | None = None
    problem: str = ""

    @property
    def in_use(self) -> bool:
        """Whether a living process owns it."""
        return bool(self.owner) and self.state == "owned"

    def database(self, name: str, user: str = TEST_ROLE) -> Conninfo:
        """Return the address of one of its databases, over the socket."""
        return self.coordination.with_(user=user, dbname=name)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data, without the password."""
        return {
            "id": self.id,
            "project": self.project,
            "provider": self.provider,
            "version": self.version,
            "state": self.state,
            "purpose": self.purpose,
            "pid": self.pid,
            "owner": self.owner or None,
            "idle_left": self.idle_left,
            "directory": str(self.directory),
            "socket": self.coordination.host,
            "port": self.coordination.port,
            "tcp": self.loopback is not None,
            "problem": self.problem,
            **(self.contents.to_json() if self.contents else {}),
        }


def own_servers(*, look_inside: bool = True) -> list[OwnServer]:
    """Return every server of ours that runs, of all projects of this user, by project."""
    with running_keepers() as keepers:
        found = [
            _describe(record, look_inside=look_inside)
            for keeper in keepers
            for record in keeper.servers()
        ]
    return sorted(found, key=lambda one: (one.project, one.id))


def contents_of(address: Conninfo) -> Contents:
    """Ask a server through its coordination database.

    Raises:
        FreshpgError: It does not answer.
    """
    with _connect(address) as admin:
        connections, size = admin.one(_USE) or (0, 0)
        return Contents(
            int(connections),
            int(size),
            tuple(registry.overview(Databases(admin))),
            tuple(list_templates(admin)),
        )


def foreign_contents(address: Conninfo) -> Contents | None:
    """Return what of ours is on somebody else's server; None when nothing ever was. Makes nothing.

    Raises:
        FreshpgError: It does not answer.
    """
    with _connect(address) as admin:
        if Databases(admin).find(coordination.NAME) is None:
            return None
        audits = "WAL over SQL" if SqlWal.usable(admin) else "asked"
    return replace(contents_of(address.with_(dbname=coordination.NAME)), audits=audits)


def _describe(record: ServerRecord, *, look_inside: bool) -> OwnServer:
    meta = record.meta
    address = Conninfo(
        str(meta.get("sockets", "")),
        int(record.left.get(HIDDEN_PORT) or meta.get("port", DEFAULT_PORT)),
        ADMIN_ROLE,
        dbname=COORDINATION_DATABASE,
    )
    contents, problem = None, ""
    if look_inside and record.state in {"owned", "warm", "orphaned"}:
        try:
            contents = contents_of(address)
        except FreshpgError as error:
            problem = f"{error.headline}: {error.seen}"
    purpose = str(meta.get("purpose", ""))
    return OwnServer(
        id=record.id,
        project=str(meta.get("project", "")),
        provider=str(meta.get("provider", "")),
        version=str(meta.get("version", "")),
        state=UP if record.state == "warm" and purpose == UP else record.state,
        purpose=purpose,
        pid=record.pid,
        owner=_owner(record),
        idle_left=record.idle_left,
        directory=record.directory,
        coordination=address,
        image=str(meta.get("image", "")),
        loopback=Loopback(*meta["loopback"]) if meta.get("loopback") else None,
        contents=contents,
        problem=problem,
    )


def _owner(record: ServerRecord) -> dict[str, Any]:
    if record.state not in {"owned", "orphaned"}:
        return {}
    return {"pid": record.owner.get("pid", 0), "label": record.owner.get("label", "")}


def _connect(address: Conninfo) -> Admin:
    return Admin.connect(address, connect_timeout=PATIENCE, statement_timeout=PATIENCE)


def _database_json(one: DatabaseStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.mark.kind,
        "blueprint": one.mark.blueprint,
        "slot": one.slot,
        "size": one.size,
        "connections": one.connections,
        "made": one.mark.made,
        "holders": [
            {
                "pid": holder.note.pid,
                "host": holder.note.host,
                "worker": holder.note.worker,
                "test": holder.note.test,
                "since": holder.note.since,
            }
            if holder.note
            else {"backend": holder.backend, "application": holder.application}
            for holder in one.holders
        ],
    }


def template_json(one: TemplateRecord) -> dict[str, Any]:
    """Return a template as plain data."""
    return {
        "name": one.name,
        "blueprint": one.blueprint,
        "fingerprint": one.fingerprint,
        "size": one.size,
        "made": one.made,
        "used": one.used,
        "build_seconds": one.seconds,
        "steps": one.steps,
        "in_use": one.in_use,
    }
