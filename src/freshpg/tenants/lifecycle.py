"""Making and dropping tenants' databases: exactly once, however many processes ask; never one that is not ours."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import FreshpgError, NotOurs, UsageInvalid
from freshpg.postgres import sqlstate
from freshpg.postgres.databases import INVALID, Databases
from freshpg.postgres.grants import Extras, read_extras
from freshpg.postgres.mark import Mark
from freshpg.tenants.address import Address, located
from freshpg.tenants.controls import Controls
from freshpg.tenants.unborn import discard, remove_unborn, unborn_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.tenants.address import Addresses, Location

# Whether the template has settings or grants is asked along: few have, and reading them takes two questions more.
_LOCK = """
SELECT pg_catalog.pg_advisory_lock(%s), pg_catalog.current_setting('fsync'),
       (SELECT d.datacl IS NOT NULL
               OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid)
          FROM pg_catalog.pg_database d WHERE d.datname = %s)
"""


class _Alone(NamedTuple):
    """What the only one who makes or drops a database may use, and how it is made here."""

    databases: Databases
    durable: bool
    has_extras: bool


class Lifecycle:
    """Makes and drops databases through control connections.

    Args:
        addresses: Where tenants are.
        admin: Where a role that may create databases connects, the same for all tenants or told by a callable; left
            out, the system database's address serves tenants of its server, and their own role all others.
        credentials: Asked for the address that is used, unless ``admin`` was given.
        clock: Tells the time.
        controls: Lends the connections; left out, each act has one of its own.
    """

    def __init__(
        self,
        addresses: Addresses,
        admin: Location | Callable[[str], Location] | None,
        credentials: Callable[[str | None], Mapping[str, Any]] | None,
        clock: Clock = SYSTEM_CLOCK,
        controls: Controls | None = None,
    ) -> None:
        self._controls = controls or Controls(0.0, clock)
        self._addresses = addresses
        self._admin = admin
        self._credentials = credentials
        self._clock = clock

    def ensure(self, tenant: str, seconds: float) -> bool:
        """Make a tenant's database unless there is one; return whether it was made now.

        Raises:
            InvalidTenantName: The name makes no name of a database.
            CreateDatabaseRefused: The role may not create databases.
            FreshpgError: The server refused something else, or took longer than ``seconds``.
        """
        address = self._addresses.of_tenant(tenant)
        with self._alone_with(address, seconds) as alone:
            databases = alone.databases
            found = databases.find(address.database)
            if found is not None and found.connection_limit != INVALID:
                return False
            if found is not None:
                # Its removal was interrupted: only removing it again is possible.
                databases.drop(address.database, deadline=seconds)
            remove_unborn(databases, address.database, _key(address.database), seconds)
            return self._make(alone, address, seconds)

    def drop(self, tenant: str, seconds: float) -> bool:
        """Drop a tenant's database with every session in it; ``False`` when there is none.

        Raises:
            InvalidTenantName: The name makes no name of a database.
            NotOurs: ``ensure`` did not make it, so it carries no mark of ours.
            DatabaseBusy: Sessions that the role may not end still hold it after ``seconds``.
        """
        address = self._addresses.of_tenant(tenant)
        with self._alone_with(address, seconds) as (databases, *_):
            found = databases.find(address.database)
            if found is None:
                remove_unborn(databases, address.database, _key(address.database), seconds)
                return False
            if found.mark is not None and found.mark.kind != "tenant":
                raise self._another_purpose(address, found.mark)
            return databases.drop(address.database, deadline=seconds, oid=found.oid)

    def _make(self, alone: _Alone, address: Address, seconds: float) -> bool:
        databases = alone.databases
        admin = databases.admin
        made = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="seconds")
        mark = Mark("tenant", blueprint="", made=made, facts={"tenant": address.tenant})
        template = address.template or "template1"
        names: list[str] = []

        def first(oid: int) -> str:
            names.append(unborn_name(address.database, oid))
            return names[-1]

        try:
            databases.clone(
                address.database,
                mark,
                owner=str(address.keywords.get("user") or admin.connection.info.user),
                template=template,
                # A copy of files asks for a checkpoint of the whole server, which is dear where it is durable.
                strategy="wal_log" if alone.durable else "file_copy",
                extras=read_extras(admin, template) if alone.has_extras else Extras((), None),
                first=first,
            )
        except FreshpgError as error:
            with suppress(FreshpgError):
                for left in databases.find_all(names):
                    discard(databases, left, seconds)
            if error.data.get("sqlstate") != sqlstate.DUPLICATE_DATABASE:
                raise
            # Made meanwhile through another control database, where our lock is not seen.
            return False
        return True

    @contextmanager
    def _alone_with(self, address: Address, seconds: float) -> Iterator[_Alone]:
        """Be the only one to make or drop a database."""
        with self._controls.lent(self._conninfo(address), seconds) as admin:
            key = _key(address.database)
            # It ends with the session: whoever is killed here, or meets an error, blocks nobody.
            _, fsync, extras = admin.one(_LOCK, (key, address.template)) or (None, "on", True)
            yield _Alone(Databases(admin, clock=self._clock), fsync == "on", bool(extras))
            admin.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", (key,))

    def _conninfo(self, address: Address) -> Conninfo:
        tenant = address.tenant or ""
        if self._admin is not None:
            given = self._admin(tenant) if callable(self._admin) else self._admin
            admin = located(given)
            self._require_same_server(admin, address)
            return admin.conninfo
        if self._addresses.has_system:
            system = self._addresses.of(None)
            if system.server == address.server:
                return self._with_credentials(system).conninfo
        return self._with_credentials(address).conninfo.with_(dbname="postgres")

    def _with_credentials(self, address: Address) -> Address:
        if self._credentials is None:
            return address
        return address.with_keywords(self._credentials(address.tenant))

    @staticmethod
    def _require_same_server(admin: Address, address: Address) -> None:
        if admin.server != address.server:
            raise UsageInvalid(
                "a tenant's database was to be made or dropped",
                on=str(address),
                seen=f"admin leads to another server: {admin.server}",
                todo=("give admin a callable that returns the address for each tenant",),
            )

    @staticmethod
    def _another_purpose(address: Address, mark: Mark) -> NotOurs:
        return NotOurs(
            "a tenant's database was to be dropped",
            on=str(address),
            seen=f"freshpg made it for another purpose: {mark.kind} of {mark.blueprint or 'nothing'}",
            todo=("correct the tenant's address", "or drop the database yourself"),
            name=address.database,
        )


def _key(database: str) -> int:
    digest = hashlib.sha256(f"freshpg tenant {database}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
