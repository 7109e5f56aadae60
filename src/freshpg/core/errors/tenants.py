"""Errors of pools of tenants in an application."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from freshpg.core.errors.base import FreshpgError

if TYPE_CHECKING:
    from freshpg.core.errors.base import Origin


class TenantError(FreshpgError):
    """A pool of a tenant, or of the system database, could not do what was asked."""

    code, title = "FPG-P00", "a tenant pool failed"
    origin: ClassVar[Origin] = "infrastructure"


class TenantLimitExceeded(TenantError):
    """A limit of tenant pools is reached, and nothing could give way.

    ``limit`` names it, ``allowed`` is its figure, ``holders`` says who holds what.
    """

    code, title = "FPG-P01", "a limit of tenant pools is reached"


class TenantWaitTimeout(TenantLimitExceeded):
    """A caller waited for a connection until its deadline; ``waited`` is in seconds."""

    code, title = "FPG-P02", "no connection of a tenant became free in time"


class TenantDatabaseMissing(TenantError):
    """The database of a tenant does not exist, or does not any more."""

    code, title = "FPG-P03", "the database of a tenant does not exist"


class TenantServerDown(TenantError):
    """The server of a tenant does not answer, or did not lately: ``retry_in`` is in seconds."""

    code, title = "FPG-P04", "the server of a tenant does not answer"


class TenantCredentialsRefused(TenantError):
    """The server refused the role or the password of a tenant."""

    code, title = "FPG-P05", "the server refused the login of a tenant"
    origin: ClassVar[Origin] = "yours"


class TenantConnectFailed(TenantError):
    """A connection of a tenant could not be opened or made ready, for another reason."""

    code, title = "FPG-P06", "a connection of a tenant could not be opened"


class TenantPoolsClosed(TenantError):
    """Tenant pools were used after they had been closed."""

    code, title = "FPG-P07", "tenant pools were used after they were closed"
    origin: ClassVar[Origin] = "yours"


class TenantHeld(TenantError):
    """Connections were still in use when they had to be given back; ``leases`` says who holds them."""

    code, title = "FPG-P08", "connections of tenants are still in use"
    origin: ClassVar[Origin] = "yours"


class InvalidTenantName(TenantError):
    """A tenant's name makes no name of a database: empty, too long in bytes, NUL, or one that is not a tenant's."""

    code, title = "FPG-P09", "a tenant's name cannot be used"
    origin: ClassVar[Origin] = "yours"


class TenantLimitsInvalid(TenantError):
    """Limits of tenant pools contradict each other or what the server has."""

    code, title = "FPG-P10", "limits of tenant pools cannot be kept"
    origin: ClassVar[Origin] = "yours"


class TenantConnectionsLeaked(TenantError):
    """A test did not give connections of tenants back; ``leaks`` says which, each with line, process id and age."""

    code, title = "FPG-P11", "a test left connections of tenants open"
    origin: ClassVar[Origin] = "yours"
