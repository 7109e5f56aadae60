"""A circuit breaker: stop asking what keeps failing, and find out cheaply when it works again.

::

    closed ──too many of the recent calls failed──► open ──after a while──► half_open ──the probe succeeds──► closed
                                                      ▲                         │
                                                      └───────the probe fails───┘
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from freshpg.core.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from freshpg.core.clock import Clock

MOST_CALLS = 1000
"""Calls that are remembered at most, however many come within the window."""

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Memory:
    """What a breaker knows, as plain data; times are seconds of its clock's ``monotonic``."""

    calls: deque[tuple[float, bool]] = field(default_factory=deque)
    """When each recent call ended, and whether it was good."""
    opened: float | None = None
    """When the circuit opened; None while it is closed."""
    probing: float | None = None
    """When the probe that is out was let through; None while there is none."""


class CircuitBreaker:
    """Lets calls through while they work; safe to use from several threads.

    Whoever was allowed reports the outcome once: :meth:`record_success`, :meth:`record_failure`, or :meth:`abandon`
    when there is none. While half open, one caller at a time is allowed. A probe that is never reported stands in the
    way for ``probe_after`` seconds at most.

    Args:
        window: Seconds a call counts for.
        rate: Share of failures among the calls of the window, more than 0 up to 1, at which the circuit opens.
        minimum: Calls below which the share says nothing.
        probe_after: Seconds the circuit stays open before one call is let through.
        clock: Tells the time.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        *,
        window: float = 30.0,
        rate: float = 0.5,
        minimum: int = 5,
        probe_after: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not (window > 0 and 0 < rate <= 1 and minimum >= 1 and probe_after >= 0):
            message = f"window={window}, rate={rate}, minimum={minimum}, probe_after={probe_after}"
            raise ValueError(message)
        self.window = window
        self.rate = rate
        self.minimum = minimum
        self.probe_after = probe_after
        self._clock = clock
        self._lock = threading.Lock()
        self._memory = Memory()

    @property
    def state(self) -> State:
        """Where the circuit stands now."""
        with self._lock:
            return self._state(self._clock.monotonic())

    @property
    def is_closed(self) -> bool:
        """Whether calls go through freely; costs next to nothing."""
        return self._memory.opened is None

    @property
    def retry_in(self) -> float:
        """Seconds until a caller may be allowed again; 0 while calls go through."""
        with self._lock:
            return self._retry_in(self._clock.monotonic())

    @property
    def recent(self) -> tuple[int, int]:
        """Failures and calls that count now."""
        with self._lock:
            self._forget(self._clock.monotonic())
            return self._failures(), len(self._memory.calls)

    def allow(self) -> bool:
        """Say whether a call may be made; one that may is reported afterwards."""
        with self._lock:
            now = self._clock.monotonic()
            if self._memory.opened is None:
                return True
            if self._retry_in(now) > 0:
                return False
            self._memory.probing = now
            return True

    def record_success(self) -> None:
        """Report a call that worked; a probe that did closes the circuit."""
        with self._lock:
            if self._memory.opened is None:
                calls = self._memory.calls
                calls.append((self._clock.monotonic(), True))
                # Those too old are left out where calls are counted: this is done for every hand-out.
                if len(calls) > MOST_CALLS:
                    calls.popleft()
            elif self._memory.probing is not None:
                self._memory = Memory()
            # Else it was let through before the circuit opened, and says nothing of now.

    def record_failure(self) -> None:
        """Report a call that failed; a probe that did opens the circuit anew."""
        with self._lock:
            now = self._clock.monotonic()
            if self._memory.opened is None:
                self._memory.calls.append((now, False))
                self._forget(now)
                calls = len(self._memory.calls)
                if calls >= self.minimum and self._failures() >= self.rate * calls:
                    self._memory.opened = now
            elif self._memory.probing is not None:
                self._memory.opened, self._memory.probing = now, None

    def abandon(self) -> None:
        """Report a call that ended without an outcome, cancelled for example: the next caller may probe."""
        with self._lock:
            self._memory.probing = None

    def export(self) -> Memory:
        """Return what this breaker knows, for :meth:`adopt` of another one, in another process of this boot."""
        with self._lock:
            self._forget(self._clock.monotonic())
            memory = self._memory
            return Memory(deque(memory.calls), memory.opened, memory.probing)

    def adopt(self, memory: Memory) -> None:
        """Know what another breaker knew; what lies in the future, of another boot, is left out."""
        with self._lock:
            now = self._clock.monotonic()
            opened = memory.opened if memory.opened is not None and memory.opened <= now else None
            probing = memory.probing if opened is not None else None
            calls = deque(call for call in memory.calls if call[0] <= now)
            self._memory = Memory(
                calls, opened, probing if probing is not None and probing <= now else None
            )

    def _state(self, now: float) -> State:
        if self._memory.opened is None:
            return "closed"
        return "half_open" if now - self._memory.opened >= self.probe_after else "open"

    def _retry_in(self, now: float) -> float:
        since = max(
            (at for at in (self._memory.opened, self._memory.probing) if at is not None),
            default=None,
        )
        return max(0.0, self.probe_after - (now - since)) if since is not None else 0.0

    def _forget(self, now: float) -> None:
        calls = self._memory.calls
        while calls and (now - calls[0][0] > self.window or len(calls) > MOST_CALLS):
            calls.popleft()

    def _failures(self) -> int:
        return sum(not good for _, good in self._memory.calls)
