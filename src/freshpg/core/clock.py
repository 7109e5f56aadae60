"""Time, passed in: nothing in freshpg asks the operating system for it directly."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

# Kept at import: tests of users freeze or replace the functions of ``time``.
_monotonic, _time, _sleep = time.monotonic, time.time, time.sleep


class Clock(Protocol):
    """Where time comes from; seconds throughout."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes back."""

    def time(self) -> float:
        """Return seconds since the epoch, for display only."""

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return _monotonic()

    def time(self) -> float:
        """Return the machine's wall-clock time in seconds since the epoch."""
        return _time()

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds``."""
        _sleep(seconds)


SYSTEM_CLOCK: Clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which waiting is an error."""

    seconds: float
    clock: Clock = SYSTEM_CLOCK
    started: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.started < 0:
            object.__setattr__(self, "started", self.clock.monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        """Whether the moment has come."""
        return self.elapsed >= self.seconds
