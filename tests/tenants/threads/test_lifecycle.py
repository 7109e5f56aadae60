"""From the first use to the end: pools are made once, used again, and gone when they are closed."""

import inspect
import os
import threading
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import tuple_row
from tenants_world import eventually, succeeded, together

from freshpg import errors
from freshpg.core.clock import SystemClock
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark
from freshpg.tenants import TenantOverride


class HandClock(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def test_initialisation_opens_nothing_for_tenants(ground, pools):
    with pools:
        stats = pools.stats()
        assert (stats.open_pools, stats.connections, stats.pools) == (0, 0, ())
        assert list(stats.capacities.values()) == [97]
        assert ground.settled(pools.application_name, [])


def test_the_first_use_opens_what_nobody_opened(pools):
    assert pools.execute("t0", "SELECT current_database()") == [("ws_t0",)]


def test_a_tenants_pool_is_created_at_its_first_use(ground, pools):
    with pools.tenant("t1") as connection:
        assert connection.info.dbname == "ws_t1"
        assert [pool.tenant for pool in pools.stats().pools] == ["t1"]
        assert ground.sessions(pools.application_name) == ["ws_t1"]


def test_the_same_tenant_gets_the_same_pool_and_connection_again(pools):
    with pools.tenant("t1") as connection:
        first = connection.info.backend_pid
    with pools.tenant("t1") as connection:
        assert connection.info.backend_pid == first
    stats = pools.stats().of("t1")
    assert (stats.opened, stats.checkouts, stats.idle) == (1, 2, 1)


def test_there_is_one_system_pool(pools):
    with pools.system() as connection:
        first = connection.info.backend_pid
        assert connection.info.dbname == "app"
    assert pools.fetch_one_system("SELECT pg_backend_pid()") == (first,)
    assert pools.execute_system("SELECT 1 WHERE false") == []
    assert pools.stats().system.opened == 1


def test_a_block_commits_and_one_that_raises_rolls_back(pools):
    pools.execute("t2", "CREATE TABLE kept (n int)")

    def fail():
        with pools.tenant("t2") as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pools.tenant("t2") as connection:
        connection.execute("INSERT INTO kept VALUES (2)")
    assert pools.execute("t2", "SELECT n FROM kept") == [(2,)]
    assert pools.execute("t2", "DROP TABLE kept") == []


def test_one_tenant_is_cleaned_up_while_others_stay(ground, pools):
    for tenant in ("t1", "t2"):
        pools.execute(tenant, "SELECT 1")
    pools.close_tenant("t1")
    assert ground.settled(pools.application_name, ["ws_t2"])
    assert [pool.tenant for pool in pools.stats().pools] == ["t2"]
    assert pools.fetch_one("t1", "SELECT 1") == (1,)


def test_a_tenant_closed_while_somebody_holds_it_is_gone_when_that_one_is_done(ground, pools):
    with pools.tenant("t1") as connection:
        pools.close_tenant("t1")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert ground.settled(pools.application_name, [])


def test_closing_a_tenant_waits_for_its_deadline_and_says_who_holds_it(pools):
    with pools.tenant("t1"), pytest.raises(errors.TenantHeld) as held:
        pools.close_tenant("t1", deadline=0.01)
    (lease,) = held.value.leases
    assert (lease.tenant, lease.owner) == ("t1", threading.current_thread().name)
    pools.close_tenant("t1", deadline=1)


def test_a_full_clean_up_leaves_no_connection(ground, pools):
    for number in range(5):
        pools.execute(f"t{number}", "SELECT 1")
    pools.execute_system("SELECT 1")
    pools.close()
    assert ground.settled(pools.application_name, [])
    assert pools.closed


def test_clean_up_is_idempotent(pools):
    pools.execute("t1", "SELECT 1")
    for _ in range(2):
        pools.close_tenant("t1")
        pools.close_tenant("never used")
    for _ in range(2):
        pools.close()


def test_closed_pools_refuse_everything(pools):
    pools.close()
    for use in (pools.tenant("t1"), pools.system()):
        with pytest.raises(errors.TenantPoolsClosed), use:
            pytest.fail("a connection was handed out")
    with pytest.raises(errors.TenantPoolsClosed):
        pools.open()


def test_closing_waits_for_whoever_holds_a_connection(pools):
    inside, done = threading.Event(), threading.Event()

    def hold():
        with pools.tenant("t1") as connection:
            inside.set()
            assert eventually(lambda: pools.closed)
            done.set()
            return connection.execute("SELECT 1").fetchone()

    def end():
        assert inside.wait(20)
        pools.close()
        return done.is_set()

    assert succeeded(together([hold, end])) == [(1,), True]


def test_closing_says_who_still_held_at_the_deadline(ground, pools):
    with pools.tenant("t1"):
        with pytest.raises(errors.TenantHeld, match="t1: pid") as held:
            pools.close(deadline=0.01)
        assert [lease.tenant for lease in held.value.leases] == ["t1"]
    assert ground.settled(pools.application_name, [])
    pools.close()


def test_several_managers_know_nothing_of_each_other(ground, make_pools):
    one, two = make_pools(), make_pools()
    one.execute("t1", "SELECT 1")
    two.execute("t1", "SELECT 1")
    one.close()
    assert two.stats().of("t1").idle == 1
    assert ground.settled(two.application_name, ["ws_t1"])


@pytest.mark.parametrize("turn", [1, 2])
def test_a_manager_per_test_starts_from_nothing(pools, turn):
    assert pools.stats().totals.checkouts == 0
    pools.execute("t1", "SELECT 1")
    assert pools.stats().totals.checkouts == 1


def test_metrics_count_what_happened(make_pools):
    clock = HandClock()
    pools = make_pools(clock=clock)
    with pools.tenant("t1"), pools.tenant("t1"), pools.system():
        clock.now += 2
        stats = pools.stats()
        assert (stats.used, stats.idle, stats.connections, stats.open_pools) == (3, 0, 3, 1)
        assert stats.of("t1").used == 2
        assert [lease.seconds for lease in pools.leases()] == [2, 2, 2]
    stats = pools.stats()
    assert (stats.used, stats.idle) == (0, 3)
    assert (stats.of("t1").checkouts, stats.of("t1").opened) == (2, 2)
    assert stats.of("t1").use_seconds == 4
    pools.close_tenant("t1")
    stats = pools.stats()
    assert stats.of("t1") is None
    assert (stats.totals.checkouts, stats.totals.closed, stats.idle) == (3, 2, 1)


def test_an_observer_is_told_of_what_takes_time(pools):
    class Told:
        def __init__(self):
            self.what = []

        def __getattr__(self, name):
            return lambda tenant, *seconds: self.what.append((name, tenant, len(seconds)))

    told = pools.observer = Told()
    for _ in range(2):
        pools.execute("t1", "SELECT 1")
    assert told.what == [
        ("created", "t1", 1),
        ("waited", "t1", 1),
        ("used", "t1", 1),
        ("waited", "t1", 1),
        ("used", "t1", 1),
    ]
    pools.observer = None


def test_a_tenants_overrides_are_its_own(ground, make_pools):
    overrides = {
        "special": TenantOverride(url=ground.address("ws_t7"), max_connections=1),
        "t1": TenantOverride(max_connections=1),
    }
    pools = make_pools(overrides=overrides)
    assert pools.fetch_one("special", "SELECT current_database()") == ("ws_t7",)
    with (
        pools.tenant("t1"),
        pytest.raises(errors.TenantWaitTimeout, match=r"max_per_tenant \(1\)"),
        pools.tenant("t1", timeout=0.01),
    ):
        pytest.fail("a connection was handed out")


def test_a_tenant_that_moves_is_found_where_it_is(ground, rough, make_pools):
    home = [ground]
    pools = make_pools(
        tenants=lambda tenant: home[-1].address(f"ws_{tenant}"), system=None, stale_after=0.0
    )
    with pools.tenant("t1") as before:
        assert before.info.host == ground.conninfo.host
        home.append(rough)
        with pools.tenant("t1") as after:
            assert after.info.host == rough.conninfo.host
            assert sorted(pool.used for pool in pools.stats().pools) == [1, 1]
    (pool,) = pools.stats().pools
    assert (pool.server, pool.idle) == (pools._addresses.of("t1").server, 1)
    # A server that is gone takes its connections along: the next one is opened where the tenant is now.
    home.append(ground)
    rough.end_sessions(pools.application_name)
    with pools.tenant("t1") as back:
        assert back.info.host == ground.conninfo.host
    (pool,) = pools.stats().pools
    assert (pool.server, pool.idle) == (pools._addresses.of("t1").server, 1)
    totals = pools.stats().totals
    assert (totals.opened, totals.stale, totals.failed) == (3, 1, 0)


def test_addresses_and_credentials_may_be_told_by_callables(ground, make_pools):
    asked = []

    def credentials(tenant):
        asked.append(tenant)
        return {"user": "freshpg_admin"}

    pools = make_pools(
        tenants=lambda tenant: ground.address(f"ws_{tenant}"),
        system=lambda: ground.address("app"),
        credentials=credentials,
    )
    assert pools.fetch_one("t1", "SELECT current_user") == ("freshpg_admin",)
    assert pools.fetch_one_system("SELECT current_user") == ("freshpg_admin",)
    assert asked == [None, "t1", None]


def test_connections_are_configured_reset_and_checked(make_pools):
    told = []

    def configure(connection):
        connection.execute("SET search_path = configured")
        connection.commit()
        told.append("configured")

    def reset(connection):
        connection.execute("RESET lock_timeout")
        connection.commit()
        told.append("reset")

    pools = make_pools(
        configure=configure,
        reset=reset,
        check=lambda connection: connection.execute("SELECT 1"),
        kwargs={"row_factory": psycopg.rows.dict_row},
    )
    pools.execute("t1", "SET lock_timeout = 7")
    with pools.tenant("t1") as connection:
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SHOW lock_timeout").fetchone() == {"lock_timeout": "0"}
        assert connection.execute("SHOW search_path").fetchone() == {"search_path": "configured"}
    # A connection that only asks the server for its size is none of the user's.
    assert told == ["configured", "reset", "reset"]


def test_a_callable_that_leaves_a_transaction_open_is_told_so(make_pools):
    pools = make_pools(system=None, configure=lambda connection: connection.execute("SELECT 1"))
    with pytest.raises(errors.TenantConnectFailed, match="INTRANS"):
        pools.execute("t1", "SELECT 1")


def test_warming_opens_each_tenants_first_connection(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_pools=3))
    assert pools.warm(["t1", "t2", "t2"]) == ["t1", "t2", "t2"]
    assert ground.settled(pools.application_name, ["ws_t1", "ws_t2"])
    assert pools.warm(["t3", "t4", "t5"]) == ["t3"]
    assert pools.stats().evictions == 0


def test_a_missing_database_is_made_exactly_once(ground, make_pools, own_databases):
    several = [make_pools() for _ in range(4)]
    made = succeeded(
        together([lambda pools=pools: pools.ensure_database("new") for pools in several])
    )
    assert sorted(made) == [False, False, False, True]
    facts = Databases(own_databases).find("ws_new")
    assert (facts.mark.kind, facts.mark.facts, facts.owner) == (
        "tenant",
        {"tenant": "new"},
        "postgres",
    )
    assert several[0].fetch_one("new", "SELECT current_database()") == ("ws_new",)


def test_a_database_is_made_from_a_template_and_dropped_again(ground, make_pools, own_databases):
    own_databases.execute("CREATE DATABASE model STRATEGY file_copy")
    with Admin.connect(ground.conninfo.with_(dbname="model")) as inside:
        inside.execute("CREATE TABLE note AS SELECT 1 AS n; GRANT SELECT ON note TO PUBLIC")
    pools = make_pools(template="model")
    assert pools.ensure_database("copied")
    assert pools.fetch_one("copied", "SELECT n FROM note") == (1,)
    assert pools.drop_database("copied")
    assert not pools.drop_database("copied")
    with pytest.raises(errors.TenantDatabaseMissing):
        pools.execute("copied", "SELECT 1")


def test_settings_and_grants_of_a_template_go_to_what_is_made_from_it(make_pools, own_databases):
    own_databases.execute("CREATE DATABASE model STRATEGY file_copy")
    pools = make_pools(template="model")
    assert pools.ensure_database("plain")
    own_databases.execute("ALTER DATABASE model SET work_mem = '5MB'")
    assert pools.ensure_database("set")
    assert pools.fetch_one("set", "SHOW work_mem") == ("5MB",)
    own_databases.execute("ALTER DATABASE model RESET work_mem")
    own_databases.execute("REVOKE TEMPORARY ON DATABASE model FROM PUBLIC")
    assert pools.ensure_database("granted")
    asked = "SELECT datname FROM pg_database WHERE datname LIKE 'ws_%%' AND datacl IS NOT NULL"
    assert own_databases.rows(asked) == [("ws_granted",)]


def test_a_tenants_database_is_never_swept(pools, own_databases):
    pools.ensure_database("unswept")
    assert [swept.name for swept in sweep_databases(Databases(own_databases))] == []
    assert pools.fetch_one("unswept", "SELECT 1") == (1,)
    pools.close_tenant("unswept")


def test_a_database_that_is_not_ours_is_never_dropped(pools):
    with pytest.raises(errors.NotOurs):
        pools.drop_database("t1")
    assert pools.fetch_one("t1", "SELECT 1") == (1,)


def test_a_database_made_for_another_purpose_is_never_dropped(ground, make_pools, own_databases):
    mark = Mark("template", blueprint="shop")
    Databases(own_databases).create("ws_model", mark, owner="postgres", template="template1")
    pools = make_pools()
    with pytest.raises(errors.NotOurs, match="template of shop"):
        pools.drop_database("model")


def test_a_database_that_somebody_here_uses_is_not_dropped(pools, own_databases):
    pools.ensure_database("used")
    with pools.tenant("used"), pytest.raises(errors.TenantHeld):
        pools.drop_database("used", deadline=0.01)
    assert pools.drop_database("used")


def test_a_connection_held_for_too_long_is_reported_once_with_its_stack(make_pools):
    clock, told = HandClock(), []
    pools = make_pools(clock=clock, leak_after=10.0, on_leak=told.append)
    with pools.tenant("t1"):
        clock.now += 9
        pools.expire()
        assert told == []
        clock.now += 1
        pools.expire()
        pools.expire()
    (lease,) = told
    assert (lease.tenant, lease.seconds, lease.owner) == ("t1", 10, threading.current_thread().name)
    assert lease.where.startswith(__file__)
    assert (
        lease.stack[0][2] == "test_a_connection_held_for_too_long_is_reported_once_with_its_stack"
    )


def test_leases_cost_no_stack_unless_leaks_are_looked_for(pools):
    with pools.tenant("t1") as connection:
        (lease,) = pools.leases()
        assert (lease.tenant, lease.pid) == ("t1", connection.info.backend_pid)
        assert lease.stack == ()
    assert pools.leases() == []


def test_a_lease_names_the_line_that_took_it(pools):
    with pools.tenant("t1"):
        assert pools.leases()[0].where == f"{__file__}:{_line() - 1}"
    with ExitStack() as stack:
        stack.enter_context(pools.tenant("t1"))
        assert pools.leases()[0].where == f"{__file__}:{_line() - 1}"


def test_a_lease_of_a_helper_names_the_line_that_called_it(make_pools):
    seen = []

    def look(cursor):
        seen.extend(lease.where for lease in pools.leases())
        return tuple_row(cursor)

    pools = make_pools(kwargs={"row_factory": look})
    pools.execute("t1", "SELECT 1")
    assert set(seen) == {f"{__file__}:{_line() - 1}"}


def _line():
    return inspect.currentframe().f_back.f_lineno


def test_a_lease_can_be_ended_from_outside(ground, pools):
    with pools.tenant("t1") as connection:
        assert pools.end_lease(connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not pools.end_lease(0)
    assert ground.settled(pools.application_name, [])
    assert pools.fetch_one("t1", "SELECT 1") == (1,)


def test_one_checkout_serves_one_block_at_a_time(pools):
    checkout = pools.tenant("t1")
    with checkout, pytest.raises(errors.UsageInvalid), checkout:
        pytest.fail("it was entered twice")
    with checkout as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pools.stats().of("t1").opened == 1


def test_a_forked_child_uses_none_of_its_parents_connections(ground, pools):
    pools.execute("t1", "SELECT 1")
    with pools.tenant("t2") as held:
        pid = held.info.backend_pid
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                told = _in_the_child(pools, held)
                os.write(writing, told.encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as answer:
            told = answer.read()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert told == "closed True, nothing known, leased anew, closed"
        assert held.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
    assert pools.stats().of("t1").idle == 1
    assert pools.fetch_one("t1", "SELECT 1") == (1,)
    assert pools.stats().of("t1").opened == 1


def _in_the_child(pools, held):
    told = [f"closed {held.closed}"]
    told.append("nothing known" if pools.stats().connections == 0 else "something known")
    told.append("leased anew" if pools.fetch_one("t1", "SELECT 1") == (1,) else "not leased")
    pools.close()
    told.append("closed")
    return ", ".join(told)


def test_pools_nobody_closed_end_their_thread_with_them(ground, recwarn):
    import gc

    from freshpg import TenantPools

    chosen = ground.options()
    pools = TenantPools(ground.tenants, **chosen)
    pools.execute("t1", "SELECT 1")
    pools.close_tenant("t1")
    assert any(thread.name == "freshpg tenants upkeep" for thread in threading.enumerate())
    del pools
    gc.collect()
    assert eventually(
        lambda: all(thread.name != "freshpg tenants upkeep" for thread in threading.enumerate())
    )


def controls(ground):
    return len(ground.sessions("freshpg tenants control"))


def test_tenants_made_in_a_row_share_a_control_connection_that_ends_soon(
    ground, make_pools, own_databases
):
    clock = HandClock()
    pools = make_pools(clock=clock)
    for name in ("row1", "row2", "row1"):
        pools.ensure_database(name)
        assert controls(ground) == 1
    clock.now += 11
    pools.expire()
    assert ground.settled("freshpg tenants control", [])
    pools.drop_database("row1")
    assert controls(ground) == 1
    pools.close()
    assert ground.settled("freshpg tenants control", [])


def test_a_control_connection_that_met_an_error_is_not_kept(ground, pools):
    with pytest.raises(errors.NotOurs):
        pools.drop_database("t1")
    assert ground.settled("freshpg tenants control", [])
