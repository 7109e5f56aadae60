"""Tenant pools for asyncio: the same ledger, the same verbs, awaited."""

from freshpg.tenants.aio.pools import AsyncTenantPools

__all__ = ["AsyncTenantPools"]
