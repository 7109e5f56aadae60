"""Rounds of upkeep without a thread and without a task: a timer of whichever loop is in use."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freshpg.tenants.aio.pools import AsyncTenantPools

_logger = logging.getLogger("freshpg.tenants")


class AsyncUpkeep:
    """Calls ``pools.expire()`` every so many ``seconds`` while a connection is open."""

    def __init__(self, pools: AsyncTenantPools, seconds: float) -> None:
        # Weak: a timer of ours must not keep alive what its user has dropped.
        self._pools = weakref.ref(pools)
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pid = os.getpid()

    def start(self) -> None:
        """See to it that the running loop looks in again; cheap when it does already."""
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._loop is not None:
            # In a forked child the parent's loop looks as if it ran.
            is_looked_after = self._loop is loop or self._loop.is_running()
            if is_looked_after and self._pid == os.getpid():
                return
            # A loop that rests does not look in, and may never run again.
            self.stop()
        self._loop, self._pid = loop, os.getpid()
        self._timer = loop.call_later(self._seconds, _round, weakref.ref(self))

    def stop(self) -> None:
        """Look in no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    def round(self) -> None:
        """Look after the pools once, and again later if anything is open."""
        self._timer = self._loop = None
        pools = self._pools()
        if pools is None or pools.closed:
            return
        try:
            pools.expire()
        except Exception:
            # What goes wrong today must not end the rounds of tomorrow.
            _logger.warning("a round of upkeep failed", exc_info=True)
        if pools._engine.has_connections or pools._controls.any:  # noqa: SLF001 (this is a part of the pools)
            self.start()


def _round(upkeep: weakref.ref[AsyncUpkeep]) -> None:
    found = upkeep()
    if found is not None:
        found.round()
