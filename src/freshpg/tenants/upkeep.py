"""The one thread of a manager of tenant pools: closes what rests for too long, reports what is held for too long."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freshpg.tenants.lease import Lease
    from freshpg.tenants.limits import TenantLimits
    from freshpg.tenants.pools import TenantPools

_logger = logging.getLogger("freshpg.tenants")

_LONGEST = 30.0
"""Seconds between two rounds, at most."""


def seconds_between(limits: TenantLimits, leak_after: float | None) -> float | None:
    """Return how often a round is due; ``None`` when there is nothing to look after, or never."""
    given = (limits.idle, limits.lifetime, leak_after)
    bounds = [one for one in given if one is not None and one != inf]
    return min(_LONGEST, max(0.05, min(bounds) / 4)) if bounds else None


class Upkeep:
    """Calls ``pools.expire()`` every few ``seconds``, until it is stopped or the pools are forgotten."""

    def __init__(self, pools: TenantPools, seconds: float) -> None:
        self._seconds = seconds
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        # Weak: a thread of ours must not keep alive what its user has dropped.
        self._pools = weakref.ref(pools, lambda _: self._stop.set())

    def start(self) -> None:
        """Start the thread, unless this process has it or it was stopped."""
        if self._pid == os.getpid():
            return
        with self._guard:
            if self._pid != os.getpid() and not self._stop.is_set():
                self._pid = os.getpid()
                self._thread = threading.Thread(
                    target=self._run, name="freshpg tenants upkeep", daemon=True
                )
                self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End the thread, and wait for it for up to some seconds; again is fine."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            pools = self._pools()
            if pools is None:
                return
            try:
                pools.expire()
            except Exception:
                # What goes wrong today must not end the rounds of tomorrow.
                _logger.warning("a round of upkeep failed", exc_info=True)
            del pools


def report_leak(lease: Lease) -> None:
    """Log a connection that was not given back, with the stack of whoever took it."""
    stack = "".join(f"\n  {file}:{line} in {function}" for file, line, function in lease.stack)
    _logger.warning("a connection is held for long: %s%s", lease, stack)
