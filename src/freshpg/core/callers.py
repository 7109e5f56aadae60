"""Which line of the user's code is at work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_BETWEEN = frozenset(
    {"freshpg", "_pytest", "pluggy", "contextlib", "asyncio", "psycopg", "threading"}
)
"""Packages that call for somebody else."""


def caller() -> str:
    """Return file and line of the nearest caller that is neither freshpg nor what runs tests; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (documented, for debuggers)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _BETWEEN:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
