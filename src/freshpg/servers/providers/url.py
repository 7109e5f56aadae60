"""Somebody else's server, named by an address: examined before anything is made there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import CreateDatabaseRefused, NoServer, ServerTooOld, ServerUnreachable
from freshpg.servers.providers.base import Finding
from freshpg.servers.version import OLDEST_MAJOR

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.postgres.admin import Admin

_QUESTION: Final = """
SELECT current_setting('server_version'), pg_backend_pid(), pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on',
       rolsuper, rolcreatedb, rolcreaterole, rolname
FROM pg_catalog.pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a running server and the role of its address are like."""

    version: int
    version_text: str
    role: str
    is_superuser: bool
    may_create_databases: bool
    may_create_roles: bool
    is_standby: bool
    is_read_only: bool
    #: Something between us and the server hands out its connections: session locks mean nothing there.
    is_pooled: bool

    @property
    def major(self) -> int:
        """Major version."""
        return self.version // 10_000


@dataclass(frozen=True, slots=True)
class UrlProvider:
    """Takes the server at an address, when it can serve and the settings allow making databases there."""

    conninfo: Conninfo
    allow_create: bool = False
    name: str = "url"

    def find(self, major: int | None) -> Finding:
        """Connect, examine, and take it.

        A server that was named is not passed over silently: what is wrong with it is raised.

        Raises:
            ServerUnreachable: Nothing answers, or a pooler, a standby or a read-only server does.
            LoginRefused: Role or password do not fit.
            ServerTooOld: Its version is not supported.
            NoServer: It has another major version than the one wanted.
            CreateDatabaseRefused: The settings or the role's rights do not allow making databases.
        """
        conninfo = self.conninfo if self.conninfo.dbname else self.conninfo.with_(dbname="postgres")
        facts = examine(conninfo)
        judge(facts, conninfo, major=major, allow_create=self.allow_create)
        why = f"PostgreSQL {facts.version_text} at {conninfo.safe()}, as role {facts.role}"
        return Finding(self.name, conninfo, why)


def examine(conninfo: Conninfo) -> ServerFacts:
    """Ask the server at ``conninfo`` what it is, in one query.

    Raises:
        ServerUnreachable: Nothing answers, or a pooler does that refuses session settings.
        LoginRefused: Role or password do not fit.
    """
    from freshpg.postgres.admin import Admin

    try:
        with Admin.connect(conninfo, application_name="freshpg doctor") as admin:
            return _facts(admin)
    except ServerUnreachable as problem:
        if "unsupported startup parameter" in problem.seen:
            raise _pooled(conninfo, problem.seen) from None
        raise


def judge(facts: ServerFacts, conninfo: Conninfo, *, major: int | None, allow_create: bool) -> None:
    """Raise what stands against using a server with these facts; see :meth:`UrlProvider.find`."""
    where = conninfo.safe()
    if facts.major < OLDEST_MAJOR:
        raise ServerTooOld(
            "the server of the settings was examined",
            on=where,
            seen=f"PostgreSQL {facts.version_text}; {OLDEST_MAJOR} is the oldest supported",
            todo=("name a newer server", 'leave server = "auto" for one of freshpg\'s own'),
            version=facts.version,
        )
    if facts.is_pooled:
        raise _pooled(
            conninfo, "the process that serves the connection is not the one that accepted it"
        )
    if facts.is_standby or facts.is_read_only:
        raise ServerUnreachable(
            "the server of the settings was examined",
            on=where,
            seen="it is a standby"
            if facts.is_standby
            else "its transactions are read-only by default",
            todo=("name the primary server",),
        )
    if major is not None and facts.major != major:
        raise NoServer(
            f"a PostgreSQL {major} was looked for",
            on=where,
            seen=f"it is PostgreSQL {facts.version_text}",
            todo=(f'set postgres = "{facts.major}", or remove the setting', "name another server"),
        )
    _judge_rights(facts, where, allow_create=allow_create)


def _judge_rights(facts: ServerFacts, where: str, *, allow_create: bool) -> None:
    if not allow_create:
        raise CreateDatabaseRefused(
            "databases are to be made on a server that is not freshpg's own",
            on=where,
            seen="the settings do not allow it",
            todo=(
                "if this server is there for tests, say so: allow_create = true in [tool.freshpg], or FRESHPG_ALLOW_CREATE=1",
                'leave server = "auto" for one of freshpg\'s own',
            ),
        )
    if not (facts.is_superuser or facts.may_create_databases):
        raise CreateDatabaseRefused(
            "databases are to be made on a server that is not freshpg's own",
            on=where,
            seen=f"role {facts.role} has no right to CREATE DATABASE",
            todo=(
                f'ask its owner for: ALTER ROLE "{facts.role}" CREATEDB',
                "use another role in the address",
            ),
            role=facts.role,
        )


def _facts(admin: Admin) -> ServerFacts:
    row = admin.one(_QUESTION)
    assert row is not None  # noqa: S101 (the current role exists)
    text, pid, standby, read_only, is_superuser, createdb, createrole, role = row
    return ServerFacts(
        version=admin.server_version,
        version_text=text.partition(" ")[0],
        role=role,
        is_superuser=is_superuser,
        may_create_databases=createdb,
        may_create_roles=createrole,
        is_standby=standby,
        is_read_only=read_only,
        is_pooled=pid != admin.pid,
    )


def _pooled(conninfo: Conninfo, seen: str) -> ServerUnreachable:
    return ServerUnreachable(
        "the server of the settings was examined",
        on=conninfo.safe(),
        seen=f"a connection pooler answers, not the server: {seen}",
        todo=(
            "name the server's own port (often 5432): leases are locks of a session, a pooler shares sessions",
        ),
    )
