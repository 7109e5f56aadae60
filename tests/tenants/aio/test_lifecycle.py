"""From the first use to the last connection closed."""

import asyncio
import inspect
import threading

import psycopg
import pytest
from psycopg.errors import DivisionByZero

from freshpg.core.clock import Deadline
from freshpg.core.errors import NotOurs, TenantHeld, TenantPoolsClosed, UsageInvalid
from freshpg.testing import FakeClock

pytestmark = pytest.mark.asyncio
WHERE = "SELECT current_database()"


async def write_and_fail(pools, tenant):
    async with pools.tenant(tenant) as connection:
        await connection.execute("INSERT INTO note (body) VALUES ('lost')")
        await connection.execute("SELECT 1/0")


async def test_initialisation_reads_what_the_server_has_and_starts_nothing(make, world):
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    pools = await make(limits={"idle": None, "lifetime": None}).open()
    stats = pools.stats()

    assert list(stats.capacities.values()) == [97]
    assert (stats.connections, stats.open_pools) == (0, 0)
    assert (threading.active_count(), len(asyncio.all_tasks())) == (threads, tasks)
    assert world.settled(pools, 0) == []


async def test_a_tenants_pool_is_made_at_its_first_use(pools, world):
    rows = await pools.execute("acme", WHERE)

    assert rows == [("wa_acme",)]
    assert [name for name, _ in world.sessions(pools)] == ["wa_acme"]
    assert pools.stats().open_pools == 1


async def test_the_same_tenant_gets_the_same_pool_and_connection(pools):
    first = await pools.fetch_one("acme", "SELECT pg_backend_pid()")
    second = await pools.fetch_one("acme", "SELECT pg_backend_pid()")

    assert first == second
    assert pools.stats().of("acme").opened == 1


async def test_the_system_pool_is_one_for_the_manager(pools):
    first = await pools.fetch_one_system("SELECT pg_backend_pid(), current_database()")
    second = await pools.execute_system("SELECT pg_backend_pid(), current_database()")

    assert second == [first]
    assert first[1] == "wapp"


async def test_a_block_commits_at_its_end_and_rolls_back_when_it_raises(pools):
    await pools.execute("globex", "DELETE FROM note")
    async with pools.tenant("globex") as connection:
        await connection.execute("INSERT INTO note (body) VALUES ('kept')")
    with pytest.raises(DivisionByZero):
        await write_and_fail(pools, "globex")

    assert await pools.execute("globex", "SELECT body FROM note") == [("kept",)]


async def test_cleaning_up_one_tenant_leaves_the_others_alone(pools, world):
    await pools.warm(["acme", "globex"])
    await pools.close_tenant("acme")

    assert [name for name, _ in world.settled(pools, 1)] == ["wa_globex"]
    assert await pools.execute("acme", WHERE) == [("wa_acme",)]


async def test_cleaning_up_one_tenant_waits_for_its_holders_and_says_who_they_are(pools, hold):
    holder = await hold(pools, "acme")
    with pytest.raises(TenantHeld, match="holder of acme") as raised:
        await pools.close_tenant("acme", deadline=0.01)
    closing = asyncio.create_task(pools.close_tenant("acme", deadline=30))
    await holder.end()
    await closing

    assert [lease.pid for lease in raised.value.leases] == [holder.pid]
    assert pools.stats().connections == 0


async def test_full_clean_up_closes_everything_and_refuses_what_comes_later(pools, world):
    await pools.warm(["acme", "globex"])
    await pools.execute_system(WHERE)
    await pools.close()

    assert world.settled(pools, 0) == []
    with pytest.raises(TenantPoolsClosed):
        await pools.execute("acme", WHERE)
    with pytest.raises(TenantPoolsClosed):
        await pools.open()


async def test_clean_up_waits_for_who_holds_and_says_who_did_not_let_go(pools, hold, world):
    holder = await hold(pools, "acme")
    with pytest.raises(TenantHeld, match="holder of acme"):
        await pools.close(deadline=0.01)
    closing = asyncio.create_task(pools.close(deadline=30))
    await holder.end()
    await closing

    assert world.settled(pools, 0) == []


async def test_clean_up_sends_the_waiting_away(make, hold, until):
    pools = make(limits={"max_per_tenant": 1})
    holder = await hold(pools, "acme")
    waiting = asyncio.create_task(pools.execute("acme", WHERE))
    await until(lambda: pools.stats().waiting)
    closing = asyncio.create_task(pools.close())
    with pytest.raises(TenantPoolsClosed):
        await waiting
    await holder.end()
    await closing


async def test_clean_up_again_is_fine(pools):
    await pools.execute("acme", WHERE)
    for _ in range(3):
        await pools.close_tenant("acme")
        await pools.close_tenant("never used")
    for _ in range(3):
        await pools.close()

    assert pools.closed


async def test_several_managers_know_nothing_of_each_other(make, world):
    first, second = make(), make()
    await first.execute("acme", WHERE)
    await second.execute("acme", WHERE)
    await first.close()

    assert world.settled(first, 0) == []
    assert len(world.sessions(second)) == 1
    assert await second.execute("acme", WHERE) == [("wa_acme",)]


@pytest.mark.parametrize("_again", [1, 2])
async def test_every_test_starts_with_a_manager_without_a_past(pools, _again):
    await pools.execute("acme", WHERE)
    stats = pools.stats()

    assert (stats.totals.opened, stats.totals.checkouts, stats.open_pools) == (1, 1, 1)


async def test_metrics_count_what_happened(pools, hold):
    for _ in range(3):
        await pools.execute("acme", WHERE)
    holder = await hold(pools, "globex")
    await pools.execute_system(WHERE)
    stats = pools.stats()
    await holder.end()
    acme, globex = stats.of("acme"), stats.of("globex")

    assert (acme.checkouts, acme.opened, acme.idle, acme.used) == (3, 1, 1, 0)
    assert (globex.checkouts, globex.opened, globex.idle, globex.used) == (1, 1, 0, 1)
    assert (stats.totals.checkouts, stats.totals.opened, stats.connections) == (5, 3, 3)
    assert acme.open_seconds > 0
    assert acme.use_seconds > 0


async def test_leases_name_the_task_the_tenant_and_the_pid(pools, hold):
    holder = await hold(pools, "acme")
    (lease,) = pools.leases()

    assert (lease.tenant, lease.owner, lease.pid) == ("acme", "holder of acme", holder.pid)


async def test_a_lease_names_the_line_that_took_it(make):
    pools = make()
    async with pools.tenant("acme"):
        line = inspect.currentframe().f_lineno - 1
        assert pools.leases()[0].where == f"{__file__}:{line}"


async def test_a_lease_held_for_too_long_is_reported_once_with_its_stack(make, hold):
    reports = []
    pools = make(leak_after=0.0, on_leak=reports.append)
    await hold(pools, "acme")
    pools.expire()
    pools.expire()

    assert [report.tenant for report in reports] == ["acme"]
    assert "_hold" in {function for _, _, function in reports[0].stack}


async def test_a_database_is_made_exactly_once_however_many_ask(pools, added):
    made = await asyncio.gather(*(pools.ensure_database("brandnew") for _ in range(8)))

    assert sorted(made) == [False] * 7 + [True]
    assert await pools.execute("brandnew", "SELECT count(*) FROM note") == [(0,)]


async def test_a_database_is_dropped_with_its_pool_and_again_is_fine(pools, added):
    await pools.ensure_database("shortlived")
    await pools.execute("shortlived", WHERE)
    dropped = [await pools.drop_database("shortlived") for _ in range(2)]

    assert dropped == [True, False]
    assert pools.stats().open_pools == 0


async def test_a_database_of_somebody_else_is_not_dropped(pools):
    with pytest.raises(NotOurs):
        await pools.drop_database("acme")

    assert await pools.execute("acme", WHERE) == [("wa_acme",)]


async def test_warming_opens_until_somebody_would_have_to_give_way(make, world):
    pools = make(limits={"max_pools": 2})
    warmed = await pools.warm(["acme", "globex", "initech"])

    assert warmed == ["acme", "globex"]
    assert [name for name, _ in world.sessions(pools)] == ["wa_acme", "wa_globex"]
    assert pools.stats().evictions == 0


async def test_a_connection_is_configured_once_and_reset_after_each_use(make):
    seen = []

    async def configure(connection):
        await connection.execute("SET work_mem = '7MB'")
        await connection.commit()
        seen.append("configured")

    async def reset(connection):
        seen.append("reset")

    pools = await make(configure=configure, reset=reset).open()
    seen.clear()
    for _ in range(2):
        assert await pools.fetch_one("acme", "SHOW work_mem") == ("7MB",)

    assert seen == ["configured", "reset", "reset"]


async def test_rows_may_be_whatever_the_user_says(make):
    pools = make(kwargs={"row_factory": psycopg.rows.dict_row}, configure=configured)
    CONFIGURED.clear()

    assert await pools.fetch_one("acme", "SELECT 1 AS one") == {"one": 1}
    # A connection that only asks the server for its size is none of the user's.
    assert CONFIGURED == ["wa_acme"]


CONFIGURED = []


async def configured(connection):
    CONFIGURED.append(connection.info.dbname)


async def test_tenants_made_in_a_row_share_a_control_connection_that_ends_soon(make, world, added):
    clock = FakeClock()
    pools = make(clock=clock)

    def controls():
        with world.admin() as admin:
            return admin.value(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'freshpg tenants control'"
            )

    def gone():
        limit = Deadline(30)
        while controls():
            assert not limit.expired

    seen = []
    for tenant in ("row1", "row2", "row1"):
        await pools.ensure_database(tenant)
        seen.append(controls())
    clock.now += 11
    pools.expire()
    gone()
    await pools.drop_database("row1")
    seen.append(controls())
    await pools.close()
    gone()

    assert seen == [1, 1, 1, 1]


async def test_one_checkout_is_for_one_block(pools):
    checkout = pools.tenant("acme")
    async with checkout:
        with pytest.raises(UsageInvalid, match="in use already"):
            await checkout.__aenter__()
