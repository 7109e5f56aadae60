"""What a test under ``--pg-strict`` may not leave in its tenants' databases: connections out, transactions, locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import TestUntidy
from freshpg.tenants.testing.ground import last_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.tenants.testing.aio import TestAsyncTenantPools
    from freshpg.tenants.testing.pools import TestTenantPools
    from freshpg.tenants.testing.questions import OpenEnd

_LOOKS, _PAUSE = 25, 0.01
"""A connection that was just closed shows until the server has ended it: looks, and seconds between them."""


class Tidiness:
    """Looks for what is open in pools of tests, and in the databases of their tenants."""

    def __init__(self, pools: TestTenantPools | TestAsyncTenantPools) -> None:
        self._pools = pools
        self._pardoned: set[int | str] = set()

    def pardon_what_is_open(self) -> None:
        """Say nothing of what is open now: another test's fixture may be at work."""
        self._pardoned = {*self._leases(), *self._open_ends()}

    def require(self, test: str) -> None:
        """Make sure that nothing is open.

        Raises:
            TestUntidy: Something is; names the line that took a connection of the pools.
        """
        if self._pools.ground.ended:
            return
        lines = self._look()
        for _ in range(_LOOKS):
            if not lines:
                return
            SYSTEM_CLOCK.sleep(_PAUSE)
            lines = self._look()
        raise TestUntidy(
            "a test gave its tenants' databases back",
            on=test,
            seen="\n".join(lines),
            todo=(
                "end every transaction, and give every connection back, before the test ends",
                "without --pg-strict such sessions are ended with their pools",
            ),
        )

    def _look(self) -> list[str]:
        leases, ends = self._leases(), self._open_ends()
        lines = []
        for key, lease in leases.items():
            end = ends.pop(key, None)
            if key not in self._pardoned:
                lines.append(f"{lease}; {end.state}: {end.query}" if end else lease)
        lines += [self._described(end) for key, end in ends.items() if key not in self._pardoned]
        return lines

    def _leases(self) -> Mapping[int | str, str]:
        """Connections that somebody has, by pid."""
        return {lease.pid: str(lease) for lease in self._pools.leases()}

    def _open_ends(self) -> dict[int | str, OpenEnd]:
        """What the server shows, by pid; prepared transactions by name."""
        return {end.pid or end.query: end for end in self._pools.ground.open_ends()}

    def _described(self, end: OpenEnd) -> str:
        ground = self._pools.ground
        tenants = {name: tenant for tenant, name in ground.databases.tenants.items()}
        tenant = tenants.get(end.database)
        whose = "the system database" if tenant is None else f"tenant {tenant!r}"
        place = last_place(self._pools._engine, end.pid)  # noqa: SLF001 (this is a part of the pools)
        return f"{whose}: {end}{f', last taken from its pool at {place}' if place else ''}"
