"""The same pools for asyncio, in any loop or none."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest

from freshpg.core.errors import InvalidTenantName, TenantConnectionsLeaked, TenantDatabaseMissing
from freshpg.tenants.aio import AsyncTenantPools
from freshpg.tenants.testing import (
    TestAsyncTenantPools,
    active_connection_count,
    cleanup_tenants,
    create_tenants,
    verify_no_leaked_connections,
)


@pytest.fixture
def make_async_pools(manager):
    made = []

    def make(**options):
        options.setdefault("test", "this test")
        made.append(TestAsyncTenantPools(manager, **options))
        return made[-1]

    yield make
    for pools in made:
        pools.end()


@pytest.fixture
def pools(make_async_pools):
    return make_async_pools()


pytestmark = pytest.mark.asyncio


async def test_they_are_what_an_application_takes(pools):
    assert isinstance(pools, AsyncTenantPools)


async def test_a_tenant_begins_with_the_templates_rows(pools):
    assert await pools.ensure_database("acme")
    assert not await pools.ensure_database("acme")

    assert await pools.execute("acme", "SELECT body FROM note") == [("welcome",)]
    assert await pools.execute_system("SELECT count(*) FROM workspace") == [(0,)]


async def test_a_tenant_that_nobody_made_is_missing_and_one_without_a_name_refused(pools):
    with pytest.raises(TenantDatabaseMissing):
        await pools.execute("acme", "SELECT 1")
    with pytest.raises(InvalidTenantName):
        await pools.ensure_database("")


async def test_two_do_not_see_each_other(make_async_pools):
    one, other = make_async_pools(), make_async_pools()
    await one.ensure_database("acme")
    await one.execute_system("INSERT INTO workspace VALUES ('acme')")

    with pytest.raises(TenantDatabaseMissing):
        await other.execute("acme", "SELECT 1")
    assert await other.execute_system("SELECT count(*) FROM workspace") == [(0,)]


async def test_tenants_are_made_and_dropped_by_the_number(pools, manager, names_of):
    assert await create_tenants(pools, 2) == ["tenant_1", "tenant_2"]
    assert await pools.drop_database("tenant_1")
    assert not await pools.drop_database("tenant_1")
    assert await cleanup_tenants(pools) == ["tenant_2"]
    assert not {name for name in names_of(manager) if "tenantdb" in name}


async def test_tasks_that_ask_for_one_tenant_get_one_database(pools):
    await asyncio.gather(*(pools.ensure_database("acme") for _ in range(10)))

    assert list(pools.databases) == ["acme"]


async def test_a_leak_names_the_line_and_the_task(pools):
    await pools.ensure_database("acme")
    checkout = pools.tenant("acme")
    connection = await checkout.__aenter__()
    assert active_connection_count(pools) == active_connection_count(pools, "acme") == 1

    with pytest.raises(TenantConnectionsLeaked) as caught:
        verify_no_leaked_connections(pools)
    await checkout.__aexit__(None, None, None)

    (leak,) = caught.value.leaks
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", leak.line)
    assert leak.owner == asyncio.current_task().get_name()
    assert leak.pid == connection.info.backend_pid
    verify_no_leaked_connections(pools)


async def test_at_the_end_of_a_block_nothing_is_there(manager, names_of):
    async with TestAsyncTenantPools(manager) as pools:
        await create_tenants(pools, 2)
        await pools.execute("tenant_1", "SELECT 1")

    assert not {name for name in names_of(manager) if "tenantdb" in name}
    assert active_connection_count(pools) == 0


async def test_what_is_still_held_at_the_end_is_told_and_gone(make_async_pools, manager, names_of):
    pools = make_async_pools()
    await pools.ensure_database("acme")
    checkout = pools.tenant("acme")
    connection = await checkout.__aenter__()

    with pytest.raises(TenantConnectionsLeaked, match="'acme'"):
        await pools.close(0.0)

    assert not {name for name in names_of(manager) if "tenantdb" in name}
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await checkout.__aexit__(None, None, None)


@pytest.mark.asyncio(loop_scope="module")
async def test_they_are_made_and_ended_outside_of_the_loop_that_uses_them(make_async_pools):
    pools = await asyncio.to_thread(make_async_pools)
    await pools.ensure_database("acme")

    assert await pools.execute("acme", "SELECT 1") == [(1,)]
