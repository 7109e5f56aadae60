"""Every pytest test starts from a real PostgreSQL database identical to its template.

Nothing is imported before it is used: pytest loads this package in every run, also in those that need no database.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg import aio, errors, testing
    from freshpg.core.settings import Settings
    from freshpg.handle import Database
    from freshpg.isolation.residue import Residue
    from freshpg.manager import DatabaseManager
    from freshpg.scripts import database
    from freshpg.templates.blueprint import Blueprint
    from freshpg.tenants.aio import AsyncTenantPools
    from freshpg.tenants.pools import TenantPools

    __version__: str

__all__ = [
    "AsyncTenantPools",
    "Blueprint",
    "Database",
    "DatabaseManager",
    "Residue",
    "Settings",
    "TenantPools",
    "__version__",
    "aio",
    "database",
    "errors",
    "testing",
]

_HOMES = {
    "AsyncTenantPools": "freshpg.tenants.aio",
    "Blueprint": "freshpg.templates.blueprint",
    "Database": "freshpg.handle",
    "DatabaseManager": "freshpg.manager",
    "Residue": "freshpg.isolation.residue",
    "Settings": "freshpg.core.settings",
    "TenantPools": "freshpg.tenants.pools",
    "database": "freshpg.scripts",
}
_SUBMODULES = frozenset({"aio", "errors", "testing"})


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"freshpg.{name}")
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import version

    return version("freshpg")
