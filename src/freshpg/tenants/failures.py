"""What went wrong, told in our errors. Pure, and the same for both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.core.errors import (
    DatabaseGone,
    LoginRefused,
    ServerDied,
    ServerError,
    ServerUnreachable,
    TenantConnectFailed,
    TenantCredentialsRefused,
    TenantDatabaseMissing,
    TenantHeld,
    TenantLimitExceeded,
    TenantLimitsInvalid,
    TenantPoolsClosed,
    TenantServerDown,
    TenantWaitTimeout,
    TooManyConnections,
    UsageInvalid,
)
from freshpg.postgres.admin import connect_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freshpg.core.errors import FreshpgError
    from freshpg.tenants.address import Address
    from freshpg.tenants.lease import Lease
    from freshpg.tenants.limits import TenantLimits

_SHOWN = 20
"""Holders that a message names."""

_NOT_ACCEPTING = "not currently accepting connections"

_MEANING: dict[type[FreshpgError], tuple[type[FreshpgError], tuple[str, ...]]] = {
    DatabaseGone: (
        TenantDatabaseMissing,
        (
            "pools.ensure_database(tenant) makes it",
            "or the name is wrong, or it was dropped on purpose",
        ),
    ),
    LoginRefused: (
        TenantCredentialsRefused,
        (
            "correct the user or password in the address, or what credentials=… returns",
            "the right to connect may be missing: GRANT CONNECT ON DATABASE, pg_hba.conf",
        ),
    ),
    ServerUnreachable: (
        TenantServerDown,
        ("check host and port, and that the server runs; pools recover by themselves",),
    ),
    ServerDied: (TenantServerDown, ("wait until the server runs; pools recover by themselves",)),
    TooManyConnections: (
        TenantLimitExceeded,
        (
            "other programs use the server's connections too: lower TenantLimits.max_connections by what they need",
            "raise max_connections of the server",
        ),
    ),
}


TESTIMONY = """
SELECT (SELECT d.datallowconn FROM pg_catalog.pg_database d WHERE d.datname = %s),
       EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = %s AND r.rolcanlogin)
"""
"""What another database of a server says of a database and a role: whether it lets anybody in; whether the role may."""


def questions(error: psycopg.Error, address: Address) -> tuple[str, str]:
    """Return what TESTIMONY is asked about: the database, and the role as it was in the end."""
    tried = error.pgconn.user.decode() if error.pgconn is not None else ""
    return address.database, tried or str(address.keywords.get("user", ""))


def is_unclear(error: psycopg.Error, address: Address) -> bool:
    """Whether a failure to connect may be a refusal in words that are not English: libpq passes no SQLSTATE on."""
    if isinstance(error, psycopg.errors.ConnectionTimeout) or error.sqlstate:
        return False
    plain = connect_error(error, address.conninfo)
    return type(plain) in {ServerUnreachable, ServerDied} and _NOT_ACCEPTING not in plain.seen


def could_not_open(
    error: psycopg.Error, address: Address, testimony: tuple[Any, ...] | None = None
) -> FreshpgError:
    """Return our error for a connection that could not be opened, about which another of that server may have testified."""
    plain = connect_error(error, address.conninfo)
    if testimony is not None:
        plain = _refusal(error, testimony)(seen=plain.seen, todo=("see the server's words above",))
    if isinstance(plain, ServerUnreachable) and _NOT_ACCEPTING in plain.seen:
        # It is being dropped, or somebody closed it: ALTER DATABASE … ALLOW_CONNECTIONS false.
        plain = DatabaseGone(seen=plain.seen)
    elif isinstance(plain, ServerUnreachable) and "FATAL" in plain.seen:
        # The server itself refused, so it is not down.
        plain = ServerError(seen=plain.seen, todo=("see the server's words above",))
    ours, todo = next(
        (meaning for kind, meaning in _MEANING.items() if isinstance(plain, kind)),
        (TenantConnectFailed, plain.todo),
    )
    return ours(
        "a connection was opened",
        on=str(address),
        seen=plain.seen,
        todo=todo,
        tenant=address.tenant,
        server=address.server,
        sqlstate=plain.data.get("sqlstate"),
        limit="max_connections of the server" if ours is TenantLimitExceeded else None,
        retry_in=0.0,
    )


def _refusal(error: psycopg.Error, testimony: tuple[Any, ...]) -> type[FreshpgError]:
    lets_in, may_log_in = testimony
    if not lets_in:
        return DatabaseGone
    gave_password = error.pgconn is not None and error.pgconn.used_password
    return LoginRefused if gave_password or not may_log_in else ServerError


def speaks_of_the_server(error: FreshpgError) -> bool:
    """Whether a failure to connect says that the server is down, so that the breaker counts it."""
    return isinstance(error, TenantServerDown)


def circuit_open(address: Address, retry_in: float, failures: tuple[int, int]) -> TenantServerDown:
    """Return the refusal to try a server that failed lately."""
    return TenantServerDown(
        "a connection was to be opened",
        on=str(address),
        seen=f"{failures[0]} of the last {failures[1]} attempts at {address.server} failed; the next one is made in {retry_in:.1f} s",
        todo=("check that the server runs; pools recover by themselves",),
        tenant=address.tenant,
        server=address.server,
        retry_in=retry_in,
    )


def not_in_time(
    tenant: str | None, limit: str, allowed: object, waited: float, leases: Sequence[Lease]
) -> TenantWaitTimeout:
    """Return the error for a caller whose wait ended with nothing."""
    return TenantWaitTimeout(
        f"waited {waited:.3g} s for a connection",
        on=_whose(tenant),
        seen=f"{limit} ({allowed}) is reached, and nothing rests that could give way\n{_held(leases)}",
        todo=_remedies(limit),
        tenant=tenant,
        limit=limit,
        allowed=allowed,
        waited=waited,
        holders=tuple(leases),
    )


def in_a_hurry(address: Address, waited: float) -> TenantWaitTimeout:
    """Return the error for a caller with less time than an answer may take."""
    return TenantWaitTimeout(
        f"waited {waited:.3g} s for a connection",
        on=str(address),
        seen=f"none rested, and {address.server} had not answered yet when the caller's time was over",
        todo=(
            "give more time: timeout=…, TenantLimits.wait",
            "open connections beforehand: pools.warm(…)",
        ),
        tenant=address.tenant,
        limit=None,
        allowed=None,
        waited=waited,
        holders=(),
    )


def queue_full(
    tenant: str | None, limit: str, allowed: int, leases: Sequence[Lease]
) -> TenantLimitExceeded:
    """Return the error for a caller that may not even wait."""
    return TenantLimitExceeded(
        "a connection was asked for",
        on=_whose(tenant),
        seen=f"{limit} is reached, and as many callers wait as may: max_waiting ({allowed})\n{_held(leases)}",
        todo=(*_remedies(limit), "raise TenantLimits.max_waiting"),
        tenant=tenant,
        limit="max_waiting",
        allowed=allowed,
        holders=tuple(leases),
    )


def closed(tenant: str | None) -> TenantPoolsClosed:
    """Return the error for a caller that comes after the end."""
    return TenantPoolsClosed(
        "a connection was asked for",
        on=_whose(tenant),
        seen="these pools were closed",
        todo=("make new TenantPools, or close them later",),
        tenant=tenant,
    )


def still_held(failed: str, leases: Sequence[Lease], opening: int, waited: float) -> TenantHeld:
    """Return the error for an end that waited for its deadline."""
    rest = f"\n{opening} connections are being opened" if opening else ""
    return TenantHeld(
        failed,
        seen=f"after {waited:.3g} s still in use:\n{_held(leases)}{rest}",
        todo=(
            "end the blocks that use them: `with pools.tenant(…)`; they are closed when they come back",
            "leak_after=… reports such connections with the stack of whoever took them",
        ),
        leases=tuple(leases),
    )


def not_measured(address: Address, waited: float) -> TenantServerDown:
    """Return the error for a caller whose server did not say in time what it has."""
    return TenantServerDown(
        f"waited {waited:.3g} s until another caller had connected to a server for the first time",
        on=str(address),
        seen=f"{address.server} does not answer",
        todo=("check host and port, and that the server runs; pools recover by themselves",),
        tenant=address.tenant,
        server=address.server,
        retry_in=0.0,
    )


def entered_twice(tenant: str | None) -> UsageInvalid:
    """Return the error for one checkout used for two blocks at once."""
    return UsageInvalid(
        "a checkout was entered",
        on=_whose(tenant),
        seen="it is in use already",
        todo=("call pools.tenant(…) once for each `with`",),
    )


def left_untidy(what: str, address: Address, status: str) -> TenantConnectFailed:
    """Return the error for a callable of the user's that left a new connection in a transaction."""
    return TenantConnectFailed(
        f"{what} made a connection ready",
        on=str(address),
        seen=f"it left the connection in state {status}",
        todo=(f"end the transaction in {what}: conn.commit()",),
        tenant=address.tenant,
        server=address.server,
    )


def check_refuses(address: Address, error: Exception) -> TenantConnectFailed:
    """Return the error for a test of connections that refuses even a new one."""
    return TenantConnectFailed(
        "a new connection was tested by check",
        on=str(address),
        seen=f"{type(error).__name__}: {error}",
        todo=("correct what check=… does: it refused a connection that had just been opened",),
        tenant=address.tenant,
        server=address.server,
    )


def check_capacity(limits: TenantLimits, server: str, capacity: int) -> None:
    """Compare limits with what a server has.

    Raises:
        TenantLimitsInvalid: They allow more connections than there are.
    """
    wanted = {
        "max_connections": limits.max_connections,
        "system_connections and one tenant": limits.system_connections + 1,
        "max_per_tenant": limits.max_per_tenant,
    }
    for name, figure in wanted.items():
        if figure is not None and figure > capacity:
            raise TenantLimitsInvalid(
                "limits were compared with what the server has",
                on=server,
                seen=f"{name}: {figure}; the server has {capacity} connections for users"
                " (max_connections less superuser_reserved_connections and reserved_connections)",
                todo=(
                    "lower the limit, or leave max_connections out: it is then what the server has",
                    "raise max_connections of the server",
                ),
                limit=name,
                wanted=figure,
                capacity=capacity,
            )


def _whose(tenant: str | None) -> str:
    return "the system pool" if tenant is None else f"tenant {tenant!r}"


def _held(leases: Sequence[Lease]) -> str:
    if not leases:
        return "nobody holds a connection: all are being opened, or the bound is another program's"
    shown = [str(lease) for lease in leases[:_SHOWN]]
    if len(leases) > _SHOWN:
        shown.append(f"and {len(leases) - _SHOWN} more")
    return "\n".join(shown)


def _remedies(limit: str) -> tuple[str, ...]:
    return (
        "hold connections for less time: take one late, and end the block before slow work",
        f"raise TenantLimits.{limit}",
        "leak_after=… reports connections that are never given back, with their stack",
    )
