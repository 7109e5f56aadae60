"""Delays between retries, as a pure iterator."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def delays(
    first: float = 0.01,
    *,
    factor: float = 2.0,
    limit: float = 1.0,
    jitter: float = 0.2,
    source: random.Random | None = None,
) -> Iterator[float]:
    """Yield seconds to wait, growing by ``factor`` up to ``limit``, each moved by up to ``jitter`` of itself.

    The source of chance is private: tests of users seed the global one, and equal seeds in all workers would
    make them retry in step.
    """
    chance = source or random.Random()  # noqa: S311 (spreads retries, guards nothing)
    delay = min(first, limit)
    while True:
        yield delay * (1 + chance.uniform(-jitter, jitter))
        delay = min(limit, delay * factor)
