"""Where a tenant's database is: templates, callables, overrides; names are checked before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from freshpg.core.conninfo import DEFAULT_PORT, Conninfo
from freshpg.core.errors import InvalidTenantName, UrlInvalid, UsageInvalid
from freshpg.core.names import MAX_BYTES
from freshpg.core.redaction import SECRET_PARAMETERS, Secret
from freshpg.tenants.limits import TenantOverride

if TYPE_CHECKING:
    from collections.abc import Callable

PLACEHOLDER = "{tenant}"

Location = str | Mapping[str, Any]
"""A URL, libpq's ``key=value`` text, or keywords of libpq."""

# Databases of every server: a template "{tenant}" would otherwise lead a tenant of that name there.
_NOBODYS = frozenset({"postgres", "template0", "template1"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where one pool connects to; ``tenant`` is ``None`` for the system pool."""

    tenant: str | None
    keywords: Mapping[str, Any] = field(repr=False)
    """What libpq is given, but for credentials asked for at each connection."""
    limit: int
    """Connections that the pool may have."""
    template: str | None = None
    """What ``ensure_database`` copies."""

    @property
    def server(self) -> str:
        """Host and port, as one word."""
        host = self.keywords.get("host") or self.keywords.get("hostaddr") or ""
        return f"{host}:{self.keywords.get('port') or DEFAULT_PORT}"

    @property
    def database(self) -> str:
        """The name of the database."""
        return str(self.keywords.get("dbname", ""))

    @property
    def conninfo(self) -> Conninfo:
        """The same as one value, which shows no password."""
        pairs = {key: str(value) for key, value in self.keywords.items() if value is not None}
        return Conninfo(
            host=pairs.pop("host", ""),
            port=int(pairs.pop("port", DEFAULT_PORT)),
            user=pairs.pop("user", ""),
            password=pairs.pop("password", None),
            dbname=pairs.pop("dbname", ""),
            params=tuple(sorted(pairs.items())),
        )

    def with_keywords(self, more: Mapping[str, Any]) -> Address:
        """Return the same address with some keywords replaced, such as credentials."""
        return replace(self, keywords={**self.keywords, **more})

    def __str__(self) -> str:
        whose = "the system database" if self.tenant is None else f"tenant {self.tenant!r}"
        return f"{whose} at {self.conninfo.with_(password=None).safe()}"


class Addresses:
    """Finds the address of every pool of one manager.

    Args:
        tenants: A URL whose database or user holds ``{tenant}``, or what returns the location of a tenant.
        system: Where the system database is, or what returns it.
        overrides: What single tenants have of their own, by name, or what returns it.
        limit: Connections of a tenant without an override.
        system_limit: Connections of the system pool.
        template: What ``ensure_database`` copies for a tenant without an override.

    Raises:
        UrlInvalid: A URL cannot be understood, or that of tenants has no ``{tenant}`` in the right place.
    """

    def __init__(
        self,
        tenants: str | Callable[[str], Location],
        system: Location | Callable[[], Location] | None,
        overrides: Mapping[str, TenantOverride] | Callable[[str], TenantOverride | None],
        *,
        limit: int,
        system_limit: int,
        template: str | None,
    ) -> None:
        self._tenants = tenants if callable(tenants) else _pattern(tenants)
        self._system = system if callable(system) or system is None else _keywords(system)
        self._overrides = overrides if callable(overrides) else overrides.get
        self._limit = limit
        self._system_limit = system_limit
        self._template = template
        self.may_lead_to_system = True
        """Whether a tenant's address could be the system database's, so that each is compared with it."""

    @property
    def has_system(self) -> bool:
        """Whether there is a system database."""
        return self._system is not None

    @staticmethod
    def require_name(tenant: object) -> None:
        """Make sure that a tenant is named by text that can be part of a database's name.

        Raises:
            InvalidTenantName: It is not.
        """
        _check(tenant)

    def of_tenant(self, tenant: str) -> Address:
        """Return the address of a tenant, never that of the system database. Raises as :meth:`of` does."""
        _check(tenant)
        return self.of(tenant)

    def of(self, tenant: str | None) -> Address:
        """Return the address of a tenant, or of the system database for ``None``.

        Raises:
            InvalidTenantName: The name makes no name of a tenant's database.
            UrlInvalid: What a callable or an override returned cannot be understood.
            UsageInvalid: The system database was asked for, and none was given.
        """
        if tenant is None:
            return Address(None, self._system_keywords(), self._system_limit)
        _check(tenant)
        override = self._overrides(tenant) or TenantOverride()
        address = Address(
            tenant,
            self._located(tenant, override),
            override.max_connections or self._limit,
            override.template or self._template,
        )
        self._check_database(tenant, address)
        return address

    def witness(self, address: Address) -> Address | None:
        """Return the system database's address, where a tenant's server has it: who can say what became of the tenant's."""
        if self._system is None or address.tenant is None or not self.may_lead_to_system:
            return None
        system = self.of(None)
        return system if system.server == address.server else None

    def _located(self, tenant: str, override: TenantOverride) -> dict[str, Any]:
        if override.url is not None:
            return _keywords(override.url)
        if callable(self._tenants):
            return _keywords(self._tenants(tenant))
        return {
            key: value.replace(PLACEHOLDER, tenant) if isinstance(value, str) else value
            for key, value in self._tenants.items()
        }

    def _system_keywords(self) -> dict[str, Any]:
        if self._system is None:
            raise UsageInvalid(
                "the system pool was asked for",
                seen="no address of a system database was given",
                todo=("TenantPools(…, system='postgresql://…')",),
            )
        return _keywords(self._system()) if callable(self._system) else dict(self._system)

    def _check_database(self, tenant: str, address: Address) -> None:
        database = address.database
        size = len(database.encode())
        if size > MAX_BYTES:
            raise _unusable(
                tenant,
                f"its database would be called {database!r}: {size} bytes in UTF-8, and PostgreSQL cuts names at {MAX_BYTES}",
            )
        if not database:
            raise _unusable(tenant, "its address names no database")
        if database in _NOBODYS:
            raise _unusable(tenant, f"its database would be {database!r}, which every server has")
        if self._system is None or not self.may_lead_to_system:
            return
        system = Address(None, self._system_keywords(), 0)
        if (address.server, database) == (system.server, system.database):
            raise _unusable(tenant, f"its database would be {database!r}, the system database")


def located(location: Location) -> Address:
    """Return an address that is no pool's.

    Raises:
        UrlInvalid: It cannot be understood.
    """
    return Address(None, _keywords(location), 1)


def _check(tenant: object) -> None:
    if not isinstance(tenant, str):
        raise _unusable(tenant, f"a {type(tenant).__name__}, not a string")
    if not tenant:
        raise _unusable(tenant, "it is empty")
    if "\0" in tenant:
        raise _unusable(tenant, "it holds a NUL character, which no name in PostgreSQL can")
    if any("\ud800" <= character <= "\udfff" for character in tenant):
        raise _unusable(tenant, "it holds half a surrogate pair, which has no UTF-8")


def _unusable(tenant: object, seen: str) -> InvalidTenantName:
    return InvalidTenantName(
        "a tenant was named",
        on=repr(tenant),
        seen=seen,
        todo=(
            "name tenants by short plain identifiers, such as the key of a row in the system database",
            "or let a callable tell the address: TenantPools(lambda tenant: …)",
        ),
        tenant=tenant,
    )


def _pattern(text: str) -> dict[str, Any]:
    keywords = _keywords(text)
    holders = {key for key, value in keywords.items() if PLACEHOLDER in str(value)}
    if not holders or holders - {"dbname", "user"}:
        raise UrlInvalid(
            "the address of tenants was read",
            on=Conninfo.parse(text).safe(),
            seen=f"{PLACEHOLDER} stands in {', '.join(sorted(holders)) or 'no part of it'}",
            todo=(
                f"put {PLACEHOLDER} into the name of the database: postgresql://app@host/ws_{PLACEHOLDER}",
                "or give a callable that returns the address of a tenant",
            ),
        )
    return keywords


def _keywords(location: Location) -> dict[str, Any]:
    if isinstance(location, str):
        return Conninfo.parse(location).keywords()
    if not isinstance(location, Mapping):
        raise UrlInvalid(
            "the address of a tenant was read",
            on=f"a {type(location).__name__}",
            seen="neither a URL nor keywords of libpq",
            todo=("return text such as 'postgresql://app@host/ws_acme', or a mapping",),
        )
    return {
        key: Secret(value) if key in SECRET_PARAMETERS and value is not None else value
        for key, value in location.items()
    }
