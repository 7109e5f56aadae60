"""How many connections one test's pools may have: all processes that share a server stay below what it has."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.tenants.limits import TenantLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freshpg.manager import DatabaseManager

OVERHEAD = 10
"""Connections that freshpg itself may have at a time in one process: leases, builders of clones, audits."""

FEWEST = 3
"""Connections of one manager of pools: one for the system database, one for a tenant, one to look from another."""

_BOOKS: weakref.WeakKeyDictionary[DatabaseManager, Budget] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


class Budget:
    """Connections of one process on one server. Each manager of pools takes half of what is left.

    So the first has plenty, and however many are open at the same time, the server is never full.

    Args:
        capacity: What the server has.
        sharers: How many processes share it.
    """

    def __init__(self, capacity: int, sharers: int = 1) -> None:
        self.capacity = capacity
        self.total = max(FEWEST, capacity // sharers - OVERHEAD)
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """What nobody has taken."""
        return self.total - self._taken

    def take(self) -> int:
        """Return how many connections one more manager of pools may have; it gives them back."""
        with self._lock:
            share = max(FEWEST, self.left // 2)
            self._taken += share
            return share

    def give_back(self, share: int) -> None:
        """End a share."""
        with self._lock:
            self._taken -= share


def budget_of(manager: DatabaseManager, capacity: Callable[[], int]) -> Budget:
    """Return the budget of this process on its manager's server; ``capacity`` is asked once."""
    with _LOCK:
        budget = _BOOKS.get(manager)
        if budget is None:
            given = manager.server is not None and manager.server.provider == "url"
            sharers = workers(os.environ) if given else 1
            budget = _BOOKS[manager] = Budget(capacity(), sharers)
        return budget


def workers(environ: Mapping[str, str]) -> int:
    """Return how many processes of this run share a server that was given: xdist's workers, or one."""
    with suppress(ValueError):
        return max(1, int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return 1


def limits_for(share: int) -> TenantLimits:
    """Return limits of pools that have so many connections in all."""
    system = max(1, min(4, share // 4))
    return TenantLimits(
        max_connections=share,
        system_connections=system,
        max_per_tenant=max(1, min(8, share - system)),
        idle=None,
        lifetime=None,
        wait=10.0,
    )
