"""Run-time connection pools of an application with one database per tenant.

Usable without the rest of freshpg: nothing here that runs in production knows of templates, leases or pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg.tenants.aio import AsyncTenantPools
    from freshpg.tenants.lease import Lease
    from freshpg.tenants.limits import TenantLimits, TenantOverride
    from freshpg.tenants.pools import TenantPools
    from freshpg.tenants.stats import PoolStats, TenantStats

__all__ = [
    "AsyncTenantPools",
    "Lease",
    "PoolStats",
    "TenantLimits",
    "TenantOverride",
    "TenantPools",
    "TenantStats",
]

_HOMES = {
    "AsyncTenantPools": "aio",
    "Lease": "lease",
    "PoolStats": "stats",
    "TenantLimits": "limits",
    "TenantOverride": "limits",
    "TenantPools": "pools",
    "TenantStats": "stats",
}


def __getattr__(name: str) -> Any:
    # Late, so that asking a process about its pools from outside loads no driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
