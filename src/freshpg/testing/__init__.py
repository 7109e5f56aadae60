"""What tests need beside a database: a server that misbehaves, an eye for what is left, a clock moved by hand."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg.testing.clock import FakeClock
    from freshpg.testing.left.oracle import Leftovers, leftovers
    from freshpg.testing.left.things import Leftover, Snapshot
    from freshpg.testing.proxy.server import FaultyServer

__all__ = ["FakeClock", "FaultyServer", "Leftover", "Leftovers", "Snapshot", "leftovers"]

_HOMES = {
    "FakeClock": "freshpg.testing.clock",
    "FaultyServer": "freshpg.testing.proxy.server",
    "Leftover": "freshpg.testing.left.things",
    "Leftovers": "freshpg.testing.left.oracle",
    "Snapshot": "freshpg.testing.left.things",
    "leftovers": "freshpg.testing.left.oracle",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
