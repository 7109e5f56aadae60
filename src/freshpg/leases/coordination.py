"""The coordination database on somebody else's server: leases are taken there, intents are written there.

On a server of ours the database ``postgres`` serves for leases, and no intent is needed: everything ends with the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.backoff import delays
from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import CreateDatabaseRefused, FreshpgError, NotOurs
from freshpg.core.faults import faultpoint
from freshpg.leases.slots import lock_class
from freshpg.postgres import sqlstate
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import FIRST_OID, Databases
from freshpg.postgres.mark import Mark
from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from collections.abc import Collection

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.postgres.database_facts import DatabaseFacts

NAME = "freshpg_coordination"

INTENT_CLASS = lock_class("intents")
"""First key of the lock that an intent's writer holds until it is struck out."""

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS freshpg;
CREATE TABLE IF NOT EXISTS freshpg.intents (
    name text PRIMARY KEY, oid oid, made timestamptz DEFAULT now());
"""
_OWNER_NOT_OURS = """
SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace
 WHERE nspname = 'freshpg' AND NOT pg_catalog.pg_has_role(nspowner, 'USAGE')
"""
# "unique_violation" is how a lost race inside CREATE DATABASE can end: https://www.postgresql.org/docs/current/errcodes-appendix.html
_SOMEBODY_WAS_FASTER = frozenset({sqlstate.DUPLICATE_DATABASE, sqlstate.OBJECT_IN_USE, "23505"})


def _is_doomed(mark: Mark) -> bool:
    """Whether somebody reclaimed it before us, and was killed before it was gone."""
    return mark.kind == "scratch" and not mark.blueprint


class TableIntents:
    """Intents as rows of the coordination database, through the connection that also makes the databases.

    While an intent stands, its writer's session holds an advisory lock for it. The server ends a session only after the
    statement it runs, so a lock that is free proves that the writer is gone and that its CREATE DATABASE is over.
    """

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self._locked: set[str] = set()

    def open(self, name: str, oid: int | None = None) -> None:
        """Write down that ``name`` is about to be made; see :class:`freshpg.postgres.databases.Intents`."""
        if name not in self._locked:
            self.admin.execute(
                f"SELECT pg_catalog.pg_advisory_lock({INTENT_CLASS}, pg_catalog.hashtext(%s))",
                (name,),
            )
            self._locked.add(name)
        faultpoint("intent.locked")
        # A killed maker's CREATE may have ended only now, which freed the lock.
        self.reclaim(name)
        self.admin.execute(
            """
            INSERT INTO freshpg.intents (name, oid) VALUES (%s, %s)
            ON CONFLICT (name) DO UPDATE SET oid = excluded.oid, made = now()
            """,
            (name, oid),
        )

    def unmarked(self, name: str) -> DatabaseFacts | None:
        """Return the unmarked database that a dead maker announced under this name and oid; the lock must be held."""
        announced = self.with_oids().get(name)
        facts = Databases(self.admin).find(name) if announced else None
        if facts is None or facts.oid != announced or (facts.mark and not _is_doomed(facts.mark)):
            return None
        return facts

    def reclaim(self, name: str) -> bool:
        """Drop it, where there is one."""
        facts = self.unmarked(name)
        if facts is None:
            return False
        databases = Databases(self.admin)
        databases.mark(name, Mark("scratch", blueprint=""), oid=facts.oid)
        faultpoint("reclaim.marked")
        databases.drop(name, oid=facts.oid)
        return True

    def strike_out(self, name: str) -> None:
        """Take the row away; the lock must be held, and stays."""
        self.admin.execute("DELETE FROM freshpg.intents WHERE name = %s", (name,))

    def close(self, name: str) -> None:
        """Strike it out and free its lock, in that order; of a dead maker's there is only the first to do."""
        self.strike_out(name)
        faultpoint("intent.deleted")
        if name in self._locked:
            self._locked.discard(name)
            self.admin.execute(
                f"SELECT pg_catalog.pg_advisory_unlock({INTENT_CLASS}, pg_catalog.hashtext(%s))",
                (name,),
            )

    def pending(self) -> Collection[str]:
        """Return the names written down and not struck out."""
        return [str(name) for (name,) in self.admin.rows("SELECT name FROM freshpg.intents")]

    def with_oids(self) -> dict[str, int | None]:
        """Return the same names with the oids announced for them."""
        rows = self.admin.rows("SELECT name, oid::bigint FROM freshpg.intents ORDER BY name")
        return {str(name): None if oid is None else int(oid) for name, oid in rows}


def ensure_coordination(
    conninfo: Conninfo, *, deadline: float = 30.0, clock: Clock = SYSTEM_CLOCK
) -> Conninfo:
    """Return the address of the coordination database, made now if it is not there; any number may ask at once.

    Raises:
        CreateDatabaseRefused: It is missing and the role may not create databases, or another role made it.
        NotOurs: A database of that name exists, without our mark, and holds something.
        ServerError: The server cannot be reached or refuses.
    """
    there = conninfo.with_(dbname=NAME)
    end = Deadline(deadline, clock)
    with Admin.connect(conninfo.with_(dbname=conninfo.dbname or "postgres")) as admin:
        databases = Databases(admin, clock=clock)
        for delay in delays(0.005, limit=0.25):
            facts = databases.find(NAME)
            if facts and facts.mark and facts.mark.kind == "coordination":
                break
            if facts is None:
                _create(databases, end)
            elif end.expired:
                _adopt_if_empty(databases, there)
            else:
                # Its maker is between CREATE and mark, or was killed there.
                clock.sleep(min(delay, end.remaining))
    faultpoint("coordination.marked")
    _prepare(there)
    return there


def _create(databases: Databases, end: Deadline) -> None:
    try:
        databases.admin.execute(f"CREATE DATABASE {ident(NAME)} TEMPLATE template0")
        faultpoint("coordination.made")
        databases.mark(NAME, Mark("coordination", blueprint=""))
    except FreshpgError as error:
        state = error.data.get("sqlstate")
        if state in _SOMEBODY_WAS_FASTER and not end.expired:
            return
        if state == sqlstate.INSUFFICIENT_PRIVILEGE:
            user = ident(databases.admin.conninfo.user)
            raise CreateDatabaseRefused(
                "the database for freshpg's leases was to be created",
                on=NAME,
                seen=error.seen,
                todo=(f"as a superuser of that server: ALTER ROLE {user} CREATEDB",),
                sqlstate=state,
            ) from None
        raise


def _adopt_if_empty(databases: Databases, there: Conninfo) -> None:
    """Mark a coordination database whose maker was killed before it could; nothing is removed."""
    with Admin.connect(there) as inside:
        objects = inside.value(
            "SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= %s", (FIRST_OID,)
        )
    if objects:
        raise NotOurs(
            "the database for freshpg's leases was looked for",
            on=NAME,
            seen=f"a database of this name exists without freshpg's mark and holds {objects} objects",
            todo=("rename that database, or use another server",),
            name=NAME,
        )
    databases.mark(NAME, Mark("coordination", blueprint=""))


def _prepare(there: Conninfo) -> None:
    with Admin.connect(there) as inside:
        owner = inside.value(_OWNER_NOT_OURS)
        if owner:
            # Not opened to everybody: who may write intents decides what is removed.
            raise CreateDatabaseRefused(
                "the database for freshpg's leases was opened",
                on=there.safe(),
                seen=f"role {owner} made it, and role {there.user} has no part in that role",
                todo=(
                    f"use role {owner} in the address",
                    f"or, as {owner} or a superuser: GRANT {ident(owner)} TO {ident(there.user)}",
                ),
                role=there.user,
                owner=owner,
            )
        if inside.value("SELECT pg_catalog.to_regclass('freshpg.intents')") is not None:
            return
        # IF NOT EXISTS looks and creates in two steps, so two at once can still collide.
        inside.execute(f"SELECT pg_catalog.pg_advisory_lock({INTENT_CLASS}, 0)")
        inside.execute(_SCHEMA)
