"""Whether something grows: a slope that single outliers do not bend, and how sure it is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trend:
    """Theil and Sen's slope, the median of those between all pairs of points, with its 95 % interval."""

    slope: float
    low: float
    high: float

    @classmethod
    def of(cls, points: list[tuple[float, float]]) -> Trend:
        slopes = sorted(
            (after - before) / (later - sooner)
            for number, (sooner, before) in enumerate(points)
            for later, after in points[number + 1 :]
        )
        if not slopes:
            return cls(0.0, 0.0, 0.0)
        # Kendall's: how far from the middle chance moves it, in ranks of slopes.
        count = len(points)
        reach = 1.96 * (count * (count - 1) * (2 * count + 5) / 18) ** 0.5
        low = max(0, int((len(slopes) - reach) / 2))
        high = min(len(slopes) - 1, int((len(slopes) + reach) / 2) + 1)
        return cls(statistics.median(slopes), slopes[low], slopes[high])
