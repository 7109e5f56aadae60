"""What a manager counted, from its events: for the last line of a test run."""

from __future__ import annotations

import statistics as arithmetic
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freshpg.core.events import CloneMade, DatabaseHandedOut, DatabaseKept, TemplateReady

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.core.events import Event


@dataclass(slots=True)
class Statistics:
    """Counts and times (seconds) of one manager, or of several added up."""

    hand_outs: list[float] = field(default_factory=list)
    clones: int = 0
    waited: int = 0
    kept: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)

    def record(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case DatabaseHandedOut(seconds=seconds):
                self.hand_outs.append(seconds)
            case CloneMade(waited_for=waited_for):
                self.clones += 1
                self.waited += waited_for
            case DatabaseKept(database=database):
                self.kept.append(database)
            case TemplateReady(blueprint=blueprint, how=how):
                self.templates[blueprint] = how
            case _:
                pass

    @property
    def handed_out(self) -> int:
        """How many databases were handed out."""
        return len(self.hand_outs)

    @property
    def median(self) -> float:
        """Median time of a hand-out in seconds; 0 when there was none."""
        return arithmetic.median(self.hand_outs) if self.hand_outs else 0.0

    @property
    def worst(self) -> float:
        """Longest time of a hand-out in seconds; 0 when there was none."""
        return max(self.hand_outs, default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, so that workers can send it."""
        return {
            "hand_outs": self.hand_outs,
            "clones": self.clones,
            "waited": self.waited,
            "kept": self.kept,
            "templates": self.templates,
        }

    @classmethod
    def merged(cls, parts: Iterable[dict[str, Any]]) -> Statistics:
        """Add up what several workers sent."""
        total = cls()
        for part in parts:
            total.hand_outs += part["hand_outs"]
            total.clones += part["clones"]
            total.waited += part["waited"]
            total.kept += part["kept"]
            total.templates |= part["templates"]
        return total
