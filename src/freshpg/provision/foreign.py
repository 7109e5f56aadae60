"""Somebody else's server: used only where the settings say so, and only through databases and a role of our own."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import NotOurs, UsageInvalid
from freshpg.core.events import Progress, ServerReady
from freshpg.core.faults import faultpoint
from freshpg.leases.coordination import TableIntents, ensure_coordination
from freshpg.leases.lease import APPLICATION
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import ident, literal
from freshpg.provision.running import RunningServer
from freshpg.templates.builder import BuildSite
from freshpg.templates.collect import collect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import FreshpgError
    from freshpg.core.events import Bus
    from freshpg.core.settings import Settings
    from freshpg.provision.own import Variant
    from freshpg.servers.discovery import Choice

TEST_ROLE = "freshpg_test"
ROLE_MARK = "made by freshpg: owns its test databases"


class ForeignServer:
    """Prepares one server given by address; every process of every run shares it."""

    def __init__(
        self, settings: Settings, choice: Choice, *, events: Bus, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        assert choice.conninfo is not None  # noqa: S101 (the caller chose the url provider)
        self.settings = settings
        self.choice = choice
        self.events = events
        self.clock = clock
        self.address = choice.conninfo

    @property
    def failures(self) -> Mapping[str, FreshpgError]:
        """Return none: templates are built one at a time, when they are asked for."""
        return {}

    def shared(self) -> RunningServer:
        """Return the server, with coordination database and test role made if they were missing.

        Raises:
            CreateDatabaseRefused: The role of the address may not create databases.
            NotOurs: Something of our names is there and is not ours.
        """
        began = self.clock.monotonic()
        coordination = ensure_coordination(self.address, clock=self.clock)
        with Admin.connect(coordination) as admin:
            _require_not_coordinated_elsewhere(admin)
            tests = ensure_test_role(admin)
            version = str(admin.value("SELECT current_setting('server_version')")).partition(" ")[0]
            superuser = bool(
                admin.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            )
        running = RunningServer(
            provider="url",
            version=version,
            how="url",
            why=self.choice.why,
            coordination=coordination,
            site=BuildSite(
                own=False,
                tests=tests,
                superuser_tests=self.address.with_(dbname="") if superuser else None,
            ),
            intents_for=TableIntents,
        )
        self._sweep(running)
        self.events.emit(
            ServerReady("url", version, "url", self.clock.monotonic() - began, self.choice.why)
        )
        return running

    def _sweep(self, running: RunningServer) -> None:
        """Remove what the provably dead left there, and templates nobody used for long."""
        databases = running.databases()
        try:
            for swept in sweep_databases(databases):
                if swept.done:
                    self.events.emit(Progress(f"removed {swept.name}: {swept.why}"))
            collect(databases)
        finally:
            databases.admin.close()

    def private(self, variant: Variant) -> RunningServer:
        """Refuse: a server cannot be made from an address.

        Raises:
            UsageInvalid: Always.
        """
        raise UsageInvalid(
            "a server of its own was asked for",
            on=self.address.safe(),
            seen=f"the settings name somebody else's server; {variant} cannot be made there",
            todo=('leave server = "auto" for servers of freshpg\'s own', "use isolation 'clone'"),
        )

    def give_back(
        self, running: RunningServer, *, linger: float, left: Mapping[str, Any] | None = None
    ) -> None:
        """Do nothing: it was never ours."""

    def revive(self) -> None:
        """Do nothing: nobody watches it for us."""

    def close(self) -> None:
        """Do nothing: no connection is kept."""


_LEASED_ELSEWHERE = """
SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid AND a.application_name = %s
 WHERE l.locktype = 'advisory' AND l.granted
   AND l.database <> (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
"""


def _require_not_coordinated_elsewhere(admin: Admin) -> None:
    """Refuse a server on which leases are held in another coordination database: neither would see the other's.

    Raises:
        UsageInvalid: It is a server of freshpg's own, in use.
    """
    if admin.value(_LEASED_ELSEWHERE, (APPLICATION,)):
        raise UsageInvalid(
            "a server was given by its address",
            on=admin.conninfo.safe(),
            seen="it is one of freshpg's own, and another process has databases leased there",
            todo=(
                'leave server = "auto": every process then gets a server, or its share of one',
                "unset FRESHPG_SERVER where freshpg run has started this program",
            ),
        )


def ensure_test_role(admin: Admin) -> Conninfo:
    """Return how tests connect: as a role that owns its databases and nothing else, made now if it is not there.

    Where the role of the address may not create roles, tests use that role itself.

    Raises:
        NotOurs: A role of that name exists without our mark.
    """
    may_create, comment, exists, is_member = admin.one(
        """
        SELECT me.rolsuper OR me.rolcreaterole, pg_catalog.shobj_description(r.oid, 'pg_authid'),
               r.oid IS NOT NULL, r.oid IS NOT NULL AND pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')
          FROM pg_catalog.pg_roles me LEFT JOIN pg_catalog.pg_roles r ON r.rolname = %s
         WHERE me.rolname = current_user
        """,
        (TEST_ROLE,),
    ) or (False, None, False, False)
    tests = admin.conninfo.with_(user=TEST_ROLE, password=_password(admin), dbname="")
    if exists:
        if comment != ROLE_MARK:
            raise NotOurs(
                "the role for tests was looked for",
                on=TEST_ROLE,
                seen="a role of this name exists and does not carry freshpg's comment",
                todo=(f"drop or rename the role {TEST_ROLE} if nobody needs it",),
                name=TEST_ROLE,
            )
        return tests if is_member else admin.conninfo.with_(dbname="")
    if not may_create:
        return admin.conninfo.with_(dbname="")
    # One transaction, under a lock: processes that start at once would fail on each other's role.
    with admin.connection.transaction():
        admin.execute(
            "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('freshpg role'))"
        )
        if not admin.value("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (TEST_ROLE,)):
            password = f" PASSWORD {literal(tests.password)}" if tests.password else ""
            admin.execute(
                f"CREATE ROLE {ident(TEST_ROLE)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE{password}"
            )
            faultpoint("role.created")
            admin.execute(f"COMMENT ON ROLE {ident(TEST_ROLE)} IS {literal(ROLE_MARK)}")
            faultpoint("role.marked")
            # CREATE DATABASE … OWNER needs membership: https://www.postgresql.org/docs/current/sql-createdatabase.html
            admin.execute(f"GRANT {ident(TEST_ROLE)} TO CURRENT_USER")
            faultpoint("role.granted")
    return tests


def _password(admin: Admin) -> str | None:
    """Return a password that every process with the same address finds again, and nobody else; none for trust."""
    secret = admin.conninfo.password
    if not secret:
        return None
    return hmac.new(
        secret.encode(), f"{TEST_ROLE} {admin.system}".encode(), hashlib.sha256
    ).hexdigest()
