"""The one ``TenantPools`` of the process; opened with the first request that needs it."""

from functools import cache

from django.conf import settings

from freshpg import TenantPools


@cache
def pools() -> TenantPools:
    """Return the pools of ``settings.TENANT_POOLS``."""
    return TenantPools(**settings.TENANT_POOLS)
