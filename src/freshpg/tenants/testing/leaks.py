"""Connections that a test did not give back: found by lease and by our own name, never by counting a user's sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import TenantConnectionsLeaked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from freshpg.postgres.database_facts import Session
    from freshpg.tenants.lease import Lease

_SHOWN = 200
"""Characters of a statement that a message shows."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One connection that was not given back; ``age`` in seconds since it was taken."""

    test: str
    tenant: str | None
    """``None`` for the system pool."""
    pid: int
    line: str
    """File and line that took it; empty when nobody holds it any more."""
    owner: str
    """The thread or task that took it."""
    state: str
    query: str
    """What it runs, or ran last."""
    age: float

    def __str__(self) -> str:
        whose = "the system pool" if self.tenant is None else f"tenant {self.tenant!r}"
        taken = f"taken at {self.line} by {self.owner}" if self.line else "held by nobody known"
        query = " ".join(self.query.split())[:_SHOWN] or "nothing yet"
        return f"{whose}: pid {self.pid}, {taken}, {self.age:.1f} s ago; {self.state or 'gone'}: {query}"


def find_leaks(
    test: str,
    leases: Iterable[Lease],
    sessions: Sequence[tuple[str | None, Session]],
    known: Collection[int],
) -> list[Leak]:
    """Return what is not given back: every lease, and every session of ours that no pool knows. Pure.

    Args:
        test: Whose pools these are.
        leases: Who holds which connection.
        sessions: Sessions that carry the name of the pools, each with its tenant.
        known: Process ids of the connections that rest in a pool.
    """
    by_pid: Mapping[int, Session] = {session.pid: session for _, session in sessions}
    found = []
    for lease in leases:
        session = by_pid.get(lease.pid)
        found.append(
            Leak(
                test,
                lease.tenant,
                lease.pid,
                lease.where,
                lease.owner,
                session.state if session else "",
                session.query if session else "",
                lease.seconds,
            )
        )
    leased = {leak.pid for leak in found}
    found += [
        Leak(test, tenant, one.pid, "", "", one.state, one.query, one.seconds)
        for tenant, one in sessions
        if one.pid not in leased and one.pid not in known
    ]
    return found


def leaked(test: str, leaks: Sequence[Leak]) -> TenantConnectionsLeaked:
    """Return the error that names them."""
    return TenantConnectionsLeaked(
        "connections of tenants were to be back",
        on=test or "pools without a test",
        seen="\n".join(str(leak) for leak in leaks),
        todo=(
            "take connections in a block: `with pools.tenant(…) as connection:`",
            "wait for threads and tasks that the test started before it ends",
        ),
        test=test,
        leaks=tuple(leaks),
    )
