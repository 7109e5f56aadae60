"""Django: its test runner and pytest-django on leased databases, with a reset where Django flushes.

Names are imported when they are used: settings may import this package before Django is configured.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg.drivers.django.runner import TestRunner
    from freshpg.drivers.django.session import leased_database
    from freshpg.drivers.django.settings import databases

__all__ = ["TestRunner", "databases", "leased_database"]

_HOMES = {
    "TestRunner": "freshpg.drivers.django.runner",
    "databases": "freshpg.drivers.django.settings",
    "leased_database": "freshpg.drivers.django.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "databases":
        from freshpg.drivers.django.requirements import require_django

        require_django()
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
