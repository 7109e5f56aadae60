"""What can be wrong with one direction of a connection, and how long a piece of data waits for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from freshpg.core.errors import UsageInvalid

Direction = Literal["to_server", "to_client"]
Directions = Literal["both", "to_server", "to_client"]
Break = Literal["cut", "reset"]

DIRECTIONS: tuple[Direction, ...] = ("to_server", "to_client")
PORTION_SECONDS = 0.02
"""With limited bandwidth data leaves in portions of so many seconds, so that it trickles instead of jumping."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with one direction.

    Attributes:
        latency: Seconds by which every piece of data arrives late.
        jitter: Up to so many seconds more, drawn for each piece from the proxy's seed.
        bandwidth: Bytes a second; None for as many as the machine manages.
        slow_close: Seconds by which the end of a connection is passed on late.
        half_open: Nothing is passed on, the end of a connection included.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    slow_close: float = 0.0
    half_open: bool = False

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "slow_close"):
            if not 0 <= getattr(self, name) < math.inf:
                raise _refused(name, getattr(self, name), "seconds, 0 or more")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise _refused("bandwidth", self.bandwidth, "bytes a second, more than 0, or None")

    def hold(self) -> float:
        """Seconds to wait before anything is read or passed on."""
        return math.inf if self.half_open else 0.0

    def delivery(self, arrived: float, chance: float) -> float:
        """Moment at which a piece of data that ``arrived`` is passed on."""
        return math.inf if self.half_open else arrived + self.latency + self.jitter * chance

    def passing_of_end(self, arrived: float) -> float:
        """Moment at which the end of the connection is passed on."""
        return math.inf if self.half_open else arrived + self.slow_close

    def next_portion(self, sent: float, size: int) -> float:
        """Moment from which more may be passed on when ``size`` bytes were ``sent``."""
        if self.half_open:
            return math.inf
        return sent + size / self.bandwidth if self.bandwidth else sent

    def portion(self) -> int | None:
        """Bytes that may be passed on at once; None for any number."""
        return max(1, int(self.bandwidth * PORTION_SECONDS)) if self.bandwidth else None


@dataclass(slots=True)
class Fuse:
    """Breaks a connection when so many bytes have passed in one direction; each connection counts for itself."""

    after: int
    how: Break
    times: int | None

    def __post_init__(self) -> None:
        if self.after < 0:
            raise _refused("after", self.after, "a number of bytes, 0 or more")
        if self.how not in {"cut", "reset"}:
            raise _refused("how", self.how, "'cut' or 'reset'")
        if self.times is not None and self.times < 1:
            raise _refused("times", self.times, "a number of connections, 1 or more, or None")

    @property
    def spent(self) -> bool:
        """Whether it broke all it was to break."""
        return self.times == 0

    def burn(self) -> None:
        """Count one connection broken."""
        if self.times is not None:
            self.times -= 1


def chosen(direction: Directions) -> tuple[Direction, ...]:
    """Return the directions meant.

    Raises:
        UsageInvalid: There is no such direction.
    """
    if direction == "both":
        return DIRECTIONS
    if direction not in DIRECTIONS:
        raise _refused("direction", direction, "'both', 'to_server' or 'to_client'")
    return (direction,)


def _refused(name: str, value: object, wanted: str) -> UsageInvalid:
    return UsageInvalid(
        "a fault was to be set",
        on=f"{name}={value!r}",
        seen="no such fault",
        todo=(f"give {wanted}",),
    )
