"""What to do about a crash, decided; the semantics are those of OTP's supervisors. Pure.

Children start in their order and stop in reverse. A crash of one concerns it alone (``one_for_one``), or it and those
that started after it (``rest_for_one``). So many crashes in so short a time mean that restarting does not help.
https://www.erlang.org/doc/system/sup_princ.html
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Scope = Literal["one_for_one", "rest_for_one"]


@dataclass(frozen=True, slots=True)
class Intensity:
    """How many crashes in how many seconds are too many."""

    crashes: int = 3
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child: its name, whom its crash concerns, and when it has crashed too often.

    ``intensity`` is None for one whose crashes somebody else counts. ``stop_within`` is the seconds its stop may take.
    """

    name: str
    scope: Scope = "one_for_one"
    intensity: Intensity | None = field(default_factory=Intensity)
    stop_within: float = 5.0


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop these, then start those, each in the order given."""

    stop: tuple[str, ...]
    start: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop everything: ``crashes`` of this child came within ``seconds``."""

    child: str
    crashes: int
    seconds: float


class Strategy:
    """Decides for one list of children; remembers their crashes."""

    def __init__(self, children: Sequence[ChildSpec]) -> None:
        self.children = {child.name: child for child in children}
        if len(self.children) != len(children):
            message = f"two children of one name: {[child.name for child in children]}"
            raise ValueError(message)
        self._crashes: dict[str, deque[float]] = {name: deque() for name in self.children}

    @property
    def start_order(self) -> tuple[str, ...]:
        """All children as they start."""
        return tuple(self.children)

    @property
    def stop_order(self) -> tuple[str, ...]:
        """All children as they stop."""
        return tuple(reversed(self.children))

    def crashed(self, name: str, now: float) -> Restart | GiveUp:
        """Count a crash at ``now`` seconds and say what to do about it."""
        child, crashes = self.children[name], self._crashes[name]
        if child.intensity is not None:
            crashes.append(now)
            while now - crashes[0] > child.intensity.seconds:
                crashes.popleft()
            if len(crashes) >= child.intensity.crashes:
                return GiveUp(name, len(crashes), child.intensity.seconds)
        return self.restart(name)

    def restart(self, name: str) -> Restart:
        """Return what restarting a child takes, without counting anything."""
        if self.children[name].scope == "one_for_one":
            return Restart((), (name,))
        order = self.start_order
        later = order[order.index(name) + 1 :]
        return Restart(tuple(reversed(later)), (name, *later))
