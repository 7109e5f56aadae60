"""Tenant pools for tests: isolated, on databases cloned from a template, with nothing left behind.

This package alone of ``freshpg.tenants`` needs the rest of freshpg: no application imports it in production.
"""

from freshpg.tenants.testing.aio import TestAsyncTenantPools
from freshpg.tenants.testing.helpers import (
    OperationTime,
    active_connection_count,
    cleanup_tenants,
    create_tenants,
    measure_operation_time,
    verify_no_leaked_connections,
    wait_for_database_ready,
)
from freshpg.tenants.testing.leaks import Leak
from freshpg.tenants.testing.managing import TestPoolManager
from freshpg.tenants.testing.pools import TestTenantPools

__all__ = [
    "Leak",
    "OperationTime",
    "TestAsyncTenantPools",
    "TestPoolManager",
    "TestTenantPools",
    "active_connection_count",
    "cleanup_tenants",
    "create_tenants",
    "measure_operation_time",
    "verify_no_leaked_connections",
    "wait_for_database_ready",
]
