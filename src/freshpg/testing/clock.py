"""Time that passes when a test says so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """A :class:`freshpg.core.clock.Clock` moved by hand: :meth:`sleep` returns at once and the time has passed.

    ``now`` is what :meth:`monotonic` returns, ``epoch`` what :meth:`time` returned when that was 0; both in seconds.
    """

    now: float = 0.0
    epoch: float = 1_700_000_000.0

    def monotonic(self) -> float:
        """Return ``now``."""
        return self.now

    def time(self) -> float:
        """Return the seconds since the epoch that go with ``now``."""
        return self.epoch + self.now

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass, at once."""
        self.now += max(0.0, seconds)
