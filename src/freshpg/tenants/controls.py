"""Control connections of tenant pools: one a server, kept for a moment, because tenants are often made in a row."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.admin import Admin
from freshpg.tenants.forks import start_anew_in_children
from freshpg.tenants.liveness import abandon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo


KEEP = 10.0
"""Seconds that a control connection is kept for the next tenant to be made."""


@dataclass(slots=True)
class _Kept:
    admin: Admin
    seconds: float
    since: float


class Controls:
    """Lends control connections, one at a time to each borrower.

    Args:
        keep: Seconds that one is kept after its use; with 0, none is.
        clock: Tells the time.
    """

    def __init__(self, keep: float, clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Conninfo, _Kept] = {}
        start_anew_in_children(self)

    @property
    def any(self) -> bool:
        """Whether any is kept."""
        return bool(self._kept)

    @contextmanager
    def lent(self, conninfo: Conninfo, seconds: float) -> Iterator[Admin]:
        """Lend one whose statements end after ``seconds`` at the latest; one that met an error is not used again.

        Raises:
            FreshpgError: It cannot be opened.
        """
        admin = self._taken(conninfo, seconds) or Admin.connect(
            conninfo,
            application_name="freshpg tenants control",
            connect_timeout=seconds,
            statement_timeout=seconds,
            lock_timeout=seconds,
        )
        try:
            yield admin
        except BaseException:
            admin.close()
            raise
        self._put_back(conninfo, seconds, admin)

    def expire(self) -> None:
        """Close what was kept for long enough."""
        self._close_before(self._clock.monotonic() - self._keep)

    def close(self) -> None:
        """Close what is kept, and keep nothing from now on; again is fine."""
        self._keep = 0.0
        self._close_before(float("inf"))

    def forget_parent(self) -> None:
        """In a forked child: let go of the copies."""
        kept, self._kept = self._kept, {}
        self._lock = threading.Lock()
        for one in kept.values():
            abandon(one.admin.connection)

    def _taken(self, conninfo: Conninfo, seconds: float) -> Admin | None:
        with self._lock:
            kept = self._kept.pop(conninfo, None)
        if kept is None:
            return None
        if kept.seconds == seconds and kept.admin.alive:
            return kept.admin
        kept.admin.close()
        return None

    def _put_back(self, conninfo: Conninfo, seconds: float, admin: Admin) -> None:
        with self._lock:
            keep = self._keep > 0 and conninfo not in self._kept and not admin.closed
            if keep:
                self._kept[conninfo] = _Kept(admin, seconds, self._clock.monotonic())
        if not keep:
            admin.close()

    def _close_before(self, moment: float) -> None:
        with self._lock:
            over = [where for where, kept in self._kept.items() if kept.since <= moment]
            closing = [self._kept.pop(where).admin for where in over]
        for admin in closing:
            admin.close()
