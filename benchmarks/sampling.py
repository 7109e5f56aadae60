"""Repeated timings: taken in turn, told by median and spread."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures of one kind; quartiles by linear interpolation."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Sample:
        return cls(tuple(sorted(values)))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def minimum(self) -> float:
        return self.values[0]

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        lower, _, upper = statistics.quantiles(self.values, n=4, method="inclusive")
        return lower, upper

    def to_json(self) -> dict[str, float]:
        lower, upper = self.quartiles
        figures = {"median": self.median, "min": self.minimum, "q1": lower, "q3": upper}
        return {name: round(value, 4) for name, value in figures.items()} | {"n": len(self.values)}


def interleaved(
    variants: Mapping[str, Callable[[], float]], rounds: int, *, seed: int = 1
) -> dict[str, list[float]]:
    """Call every variant once a round, in another order each time: what disturbs one then disturbs all."""
    order = random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        names = list(variants)
        order.shuffle(names)
        for name in names:
            found[name].append(variants[name]())
    return found


def seconds(act: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
