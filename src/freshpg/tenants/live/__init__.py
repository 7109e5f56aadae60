"""Showing the tenant pools of a running process to its own user; nothing listens until somebody asks for it.

``publish(pools)`` in the application, ``freshpg tenants`` outside of it.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.errors import UsageInvalid
from freshpg.tenants.live.door import Door

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from freshpg.tenants.live.view import Shown

__all__ = ["Published", "publish"]


def publish(pools: Shown, *, environ: Mapping[str, str] = os.environ) -> Published:
    """Show ``pools`` to ``freshpg tenants`` of the same user until :meth:`Published.close`, or the process ends.

    A Unix socket that only this user can reach, and one thread that waits at it. It costs checkouts nothing. Whoever
    asks sees tenants, statements and places in the code, and may end leases.

    Args:
        pools: ``TenantPools`` or ``AsyncTenantPools``.
        environ: Where ``FRESHPG_RUNTIME`` is looked for.

    Raises:
        PathUnusable: There is no directory for a socket.
    """
    return Published(pools, environ)


class Published:
    """Pools that can be looked at from outside; a context manager."""

    def __init__(self, pools: Shown, environ: Mapping[str, str]) -> None:
        # Weak: to be looked at is no reason to live.
        self._pools = weakref.ref(pools)
        self._since = time.time()
        self._door = Door({"show": self._show, "end": self._end}, environ=environ)

    def close(self) -> None:
        """Show them no more; again is fine."""
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _show(self, question: dict[str, Any]) -> dict[str, Any]:
        from freshpg.tenants.live.view import STUCK, show

        stuck = question.get("stuck", STUCK)
        pools = self._pools()
        shown = None if pools is None else show(pools, stuck=float(stuck))
        return {"pid": os.getpid(), "program": _program(), "since": self._since, "pools": shown}

    def _end(self, question: dict[str, Any]) -> dict[str, Any]:
        from freshpg.tenants.live.view import end

        pid = question.get("pid")
        if not isinstance(pid, int):
            raise UsageInvalid("a lease was to be ended", on=repr(pid), seen="not a process id")
        pools = self._pools()
        return {"ended": None if pools is None else end(pools, pid)}


def _program() -> str:
    return " ".join(sys.orig_argv)[:200]
