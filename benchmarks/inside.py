"""The one place that looks inside a manager, for what only a benchmark wants to know."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from freshpg.isolation.audit import auditor
from freshpg.isolation.audit.inside import Inside
from freshpg.isolation.audit.pulse import PulseTaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.holding import Holding
    from freshpg.isolation.stock import CloneStock
    from freshpg.manager import DatabaseManager
    from freshpg.provision.running import RunningServer


def running(manager: DatabaseManager) -> RunningServer:
    """Return the server of a started manager."""
    holding = manager._holding
    assert holding is not None
    return holding.running


def stocks(manager: DatabaseManager) -> list[CloneStock]:
    """Return its stocks of clones."""
    holding = manager._holding
    assert holding is not None
    return [arena._stock for arena in holding._arenas.values() if arena._stock is not None]


def is_full(stock: CloneStock) -> bool:
    """Whether nothing is left to do for its builders."""
    ledger = stock._ledger
    return stock.ready >= ledger.target and not ledger.in_state("busy", "used")


class _Bare:
    """A server as it would be given out if it never failed: nobody looks, counts or tries again."""

    def __init__(self, holding: Holding) -> None:
        self.holding = holding

    def hand_out(self, enter: Callable[[Holding], Any]) -> Any:
        return enter(self.holding)


@contextmanager
def without_safety(manager: DatabaseManager) -> Iterator[None]:
    """Take away what watches over hand-outs: supervision, breaker, looks for losses."""
    lending: Any = manager._lending
    assert lending is not None
    supervised = lending._supervised
    lending._supervised = _Bare(supervised.holding)
    manager._note_loss = lambda _database, _grant: False  # type: ignore[method-assign]
    try:
        yield
    finally:
        lending._supervised = supervised
        del manager._note_loss


class Parts:
    """Seconds spent in the parts of a reset since the last :meth:`take`, and how often a server was asked."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._asked = 0

    def take(self) -> tuple[dict[str, float], int]:
        """Return both, and begin anew."""
        found, self._seconds = dict(self._seconds), defaultdict(float)
        asked, self._asked = self._asked, 0
        return found, asked

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and counts its time as ``part``."""

        def call(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                self._seconds[part] += time.perf_counter() - began

        return call

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and counts as a question to the server."""

        def call(*args: Any, **keywords: Any) -> Any:
            self._asked += 1
            return function(*args, **keywords)

        return call


@contextmanager
def parts_of_resets() -> Iterator[Parts]:
    """Time the parts of every reset in this process."""
    parts = Parts()
    wrapped = (
        (PulseTaker, "send", "pulse: sent"),
        (PulseTaker, "receive", "pulse: answer awaited and read"),
        (PulseTaker, "has_moved", "pulse: asked again"),
        (auditor, "read_touched", "WAL: read and parsed"),
        (auditor, "from_touched", "WAL: what it came to"),
        (auditor, "examine", "examine"),
        (auditor, "undo", "undo and proof"),
        (auditor, "refill", "refill"),
    )
    with ExitStack() as patches:
        for owner, name, part in wrapped:
            timed = parts.timed(part, getattr(owner, name))
            patches.enter_context(mock.patch.object(owner, name, timed))
        patches.enter_context(mock.patch.object(Inside, "send", parts.counted(Inside.send)))
        yield parts
