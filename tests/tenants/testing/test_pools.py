"""Pools of a test are those of production, on databases of their own."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from freshpg.core.errors import (
    BlueprintInvalid,
    InvalidTenantName,
    TenantConnectionsLeaked,
    TenantDatabaseMissing,
    TenantPoolsClosed,
)
from freshpg.tenants import TenantLimits, TenantPools
from freshpg.tenants.testing import (
    TestTenantPools,
    active_connection_count,
    cleanup_tenants,
    create_tenants,
    ground,
    verify_no_leaked_connections,
)


def tenants_on(names):
    return {name for name in names if "tenantdb" in name}


def test_they_are_what_an_application_takes(pools):
    assert isinstance(pools, TenantPools)


def test_a_tenant_begins_with_the_templates_rows(pools):
    pools.ensure_database("acme")

    assert pools.execute("acme", "SELECT body FROM note") == [("welcome",)]


def test_a_database_is_made_once(pools):
    assert pools.ensure_database("acme")
    assert not pools.ensure_database("acme")
    assert list(pools.databases) == ["acme"]


def test_a_tenant_that_nobody_made_is_missing(pools):
    with pytest.raises(TenantDatabaseMissing, match="ensure_database"), pools.tenant("acme"):
        pass


@pytest.mark.parametrize("tenant", ["", "a\0b", 3])
def test_a_name_that_production_refuses_is_refused(pools, tenant):
    with pytest.raises(InvalidTenantName):
        pools.ensure_database(tenant)


def test_the_system_database_is_the_other_blueprints(pools):
    pools.execute_system("INSERT INTO workspace VALUES ('acme')")

    assert pools.execute_system("SELECT name FROM workspace") == [("acme",)]


def test_the_system_database_is_as_its_template_for_the_next(make_pools):
    for _ in range(2):
        pools = make_pools()
        assert pools.execute_system("SELECT count(*) FROM workspace") == [(0,)]
        pools.execute_system("INSERT INTO workspace VALUES ('acme')")
        pools.close()


def test_no_system_database_is_leased_where_none_is_used(pools):
    pools.ensure_database("acme")
    pools.execute("acme", "SELECT 1")

    assert pools.ground._leased is None


def test_a_leased_system_database_may_be_given(make_pools, manager):
    with manager.lease("main") as database:
        pools = make_pools(database=database)
        pools.execute_system("INSERT INTO workspace VALUES ('acme')")
        with database.connect() as connection:
            assert connection.execute("SELECT name FROM workspace").fetchone() == ("acme",)
        pools.close()


def test_two_do_not_see_each_other(make_pools):
    one, other = make_pools(), make_pools()
    one.ensure_database("acme")
    one.execute_system("INSERT INTO workspace VALUES ('acme')")

    with pytest.raises(TenantDatabaseMissing), other.tenant("acme"):
        pass
    assert other.execute_system("SELECT count(*) FROM workspace") == [(0,)]
    other.ensure_database("acme")
    one.execute("acme", "INSERT INTO note (body) VALUES ('mine')")
    assert other.execute("acme", "SELECT count(*) FROM note") == [(1,)]


def test_a_dropped_tenant_is_missing_again(pools):
    pools.ensure_database("acme")
    pools.execute("acme", "INSERT INTO note (body) VALUES ('old')")

    assert pools.drop_database("acme")

    assert not pools.drop_database("acme")
    with pytest.raises(TenantDatabaseMissing), pools.tenant("acme"):
        pass
    pools.ensure_database("acme")
    assert pools.execute("acme", "SELECT count(*) FROM note") == [(1,)]


def test_at_the_end_nothing_is_there(make_pools, manager, names_of):
    pools = make_pools()
    create_tenants(pools, 3)
    for tenant in pools.databases:
        pools.execute(tenant, "SELECT 1")
    assert len(tenants_on(names_of(manager))) == 3

    pools.close()
    pools.close()

    assert not tenants_on(names_of(manager))
    assert active_connection_count(pools) == 0
    with pytest.raises(TenantPoolsClosed), pools.tenant("tenant_1"):
        pass


def test_at_the_end_of_a_block_that_failed_nothing_is_there_either(manager, names_of):
    def fail():
        with TestTenantPools(manager, tenant="tenant") as pools:
            pools.ensure_database("acme")
            pools.execute("acme", "SELECT 1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not tenants_on(names_of(manager))


def test_tenants_are_made_and_dropped_by_the_number(pools, manager, names_of):
    assert create_tenants(pools, 3) == ["tenant_1", "tenant_2", "tenant_3"]
    assert create_tenants(pools, 2) == ["tenant_4", "tenant_5"]
    assert create_tenants(pools, 1, prefix="big_") == ["big_1"]
    assert create_tenants(pools, 0) == []
    assert len(tenants_on(names_of(manager))) == 6

    assert sorted(cleanup_tenants(pools)) == [
        "big_1", "tenant_1", "tenant_2", "tenant_3", "tenant_4", "tenant_5",
    ]  # fmt: skip

    assert not tenants_on(names_of(manager))
    assert create_tenants(pools, 1) == ["tenant_1"]


def test_connections_are_counted_by_tenant_and_in_all(pools):
    create_tenants(pools, 2)
    with pools.tenant("tenant_1"), pools.tenant("tenant_1"), pools.tenant("tenant_2"):
        assert active_connection_count(pools, "tenant_1") == 2
        assert active_connection_count(pools) == 3
    pools.execute_system("SELECT 1")
    # What rests in a pool is open, too.
    assert active_connection_count(pools) == 4


def test_a_session_of_somebody_else_is_not_counted(pools):
    pools.ensure_database("acme")
    address = pools.ground.tenant_address("acme")
    with psycopg.connect(**address.keywords()):
        assert active_connection_count(pools) == 0
        verify_no_leaked_connections(pools)


def test_connections_that_rest_are_no_leak(pools):
    pools.ensure_database("acme")
    pools.execute("acme", "SELECT 1")

    verify_no_leaked_connections(pools)


def test_a_leak_is_named_with_test_line_pid_query_and_age(make_pools):
    pools = make_pools(test="tests/test_shop.py::test_it")
    pools.ensure_database("acme")
    checkout = pools.tenant("acme")
    connection = checkout.__enter__()
    connection.execute("SELECT 'the last'")

    with pytest.raises(TenantConnectionsLeaked) as caught:
        verify_no_leaked_connections(pools)
    checkout.__exit__(None, None, None)

    (leak,) = caught.value.leaks
    assert leak.test == "tests/test_shop.py::test_it"
    assert leak.tenant == "acme"
    assert leak.pid == connection.info.backend_pid
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", leak.line)
    assert leak.owner == threading.current_thread().name
    assert leak.query == "SELECT 'the last'"
    assert leak.state == "idle in transaction"
    assert leak.age >= 0
    message = str(caught.value)
    for part in (leak.test, leak.line, str(leak.pid), leak.query, " s ago"):
        assert part in message
    verify_no_leaked_connections(pools)


def test_what_is_still_held_at_the_end_is_told_and_gone(make_pools, manager, names_of):
    pools = make_pools(test="the test")
    pools.ensure_database("acme")
    held = pools.tenant("acme")
    connection = held.__enter__()

    with pytest.raises(TenantConnectionsLeaked, match=r"(?s)the test.*'acme'"):
        pools.end()

    assert not tenants_on(names_of(manager))
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    pools.close()


def test_a_connection_that_no_pool_knows_any_more_is_a_leak(pools, monkeypatch):
    monkeypatch.setattr(ground, "_LOOKS", 2)
    pools.ensure_database("acme")
    address = pools.ground.tenant_address("acme")
    named = {**address.keywords(), "application_name": pools.ground.application_name}
    with psycopg.connect(**named) as stray:
        pid = stray.info.backend_pid
        with pytest.raises(TenantConnectionsLeaked) as caught:
            verify_no_leaked_connections(pools)

    assert [leak.pid for leak in caught.value.leaks] == [pid]


def test_threads_at_once_get_one_pool_and_no_more_than_their_share(pools):
    pools.ensure_database("acme")
    limit = pools.limits.max_per_tenant

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: pools.execute("acme", "SELECT pg_sleep(0)"), range(60)))

    assert active_connection_count(pools) <= limit
    assert pools.stats().of("acme").opened <= limit


def test_all_managers_together_stay_below_what_the_server_has(make_pools):
    pools = [make_pools() for _ in range(6)]

    assert sum(one.limits.max_connections for one in pools) <= pools[0].ground._budget.total + 12
    assert pools[0].limits.max_connections > pools[-1].limits.max_connections
    for one in pools:
        one.close()
    assert pools[0].ground._budget.left == pools[0].ground._budget.total


def test_limits_may_be_chosen(make_pools):
    pools = make_pools(limits=TenantLimits(max_per_tenant=1, wait=0.01))

    assert pools.limits.max_per_tenant == 1


def test_an_unknown_blueprint_is_named_and_nothing_stays(manager):
    with pytest.raises(BlueprintInvalid, match="tenent"):
        TestTenantPools(manager, tenant="tenent")


def test_an_option_of_production_reaches_the_pools(make_pools):
    seen = []
    pools = make_pools(configure=lambda connection: seen.append(connection.info.dbname))
    pools.ensure_database("acme")
    pools.execute("acme", "SELECT 1")

    assert seen == [pools.databases["acme"]]


def test_a_forked_child_that_closes_them_takes_nothing_from_its_parent(pools):
    pools.ensure_database("acme")
    pools.execute("acme", "SELECT 1")
    child = os.fork()
    if child == 0:
        try:
            pools.close(0.0)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert pools.execute("acme", "SELECT count(*) FROM note") == [(1,)]


@pytest.mark.slow
def test_without_a_manager_they_bring_the_projects_own_and_stop_it(tmp_path, monkeypatch):
    (tmp_path / "schema.sql").write_text("CREATE TABLE note (body text);")
    (tmp_path / "freshpg.toml").write_text(
        'linger = 0\n[databases.main]\nname = "alone_test"\nmigrations = ["schema.sql"]\n'
    )
    monkeypatch.chdir(tmp_path)

    with TestTenantPools() as pools:
        pools.ensure_database("acme")
        assert pools.execute("acme", "SELECT count(*) FROM note") == [(0,)]
        assert pools.execute_system("SELECT count(*) FROM note") == [(0,)]

    assert not pools.ground._manager.health().ok
    pools.end()
