"""Every limit is kept, told, and nothing is lost at it."""

import signal
import threading

import pytest
from tenants_world import PATIENCE, eventually, succeeded, together

from freshpg import errors
from freshpg.postgres.admin import Admin
from freshpg.tenants import TenantLimits


def hold(pools, tenant, ready, release):
    with pools.tenant(tenant):
        ready.release()
        assert release.wait(PATIENCE)


def test_the_maximum_of_connections_is_respected(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_connections=6, max_per_tenant=3))
    most, peak = threading.Lock(), [0]

    def use(tenant):
        with pools.tenant(tenant) as connection:
            connection.execute("SELECT 1")
            with most:
                peak[0] = max(peak[0], len(ground.sessions(pools.application_name)))

    succeeded(together([lambda t=f"t{number % 10}": use(t) for number in range(20)]))
    # A server's process outlives its socket by a moment, so that one more for each caller may show.
    stats = pools.stats()
    assert stats.connections <= 6
    assert stats.shares == {stats.pools[0].server: 4}
    assert stats.limit_hits["max_connections"] > 0
    assert ground.settled(
        pools.application_name, [f"ws_{p.tenant}" for p in stats.pools for _ in range(p.idle)]
    )


def test_connections_are_reused_at_the_limit(make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1))
    pids = succeeded(together([lambda: pools.fetch_one("t1", "SELECT pg_backend_pid()")[0]] * 20))
    assert len(set(pids)) == 1
    assert pools.stats().of("t1").opened == 1


def test_a_wait_ends_at_its_timeout_and_says_who_holds_what(make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1, wait=0.05))
    with pools.tenant("t1", timeout=20) as connection:
        with pytest.raises(errors.TenantWaitTimeout) as late, pools.tenant("t1"):
            pytest.fail("a connection was handed out")
        error = late.value
        assert isinstance(error, errors.TenantLimitExceeded)
        assert (error.tenant, error.limit, error.allowed) == ("t1", "max_per_tenant", 1)
        assert error.waited >= 0.05
        assert [lease.pid for lease in error.holders] == [connection.info.backend_pid]
        assert __file__ in str(error)
    stats = pools.stats()
    assert (stats.of("t1").timeouts, stats.waiting) == (1, 0)


def test_a_caller_without_time_is_refused_at_once(make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1))
    with pools.tenant("t1"), pytest.raises(errors.TenantWaitTimeout), pools.tenant("t1", timeout=0):
        pytest.fail("a connection was handed out")


def test_no_more_callers_wait_than_may(make_pools, limits, waiting):
    pools = make_pools(limits=limits(max_per_tenant=1, max_waiting=1))
    ready, release = threading.Semaphore(0), threading.Event()

    def one_too_many():
        assert ready.acquire(timeout=PATIENCE)
        waiter = threading.Thread(target=pools.execute, args=("t1", "SELECT 1"))
        waiter.start()
        waiting(pools, 1)
        try:
            pools.execute("t1", "SELECT 1")
        finally:
            release.set()
            waiter.join(PATIENCE)

    _, refused = together([lambda: hold(pools, "t1", ready, release), one_too_many])
    assert isinstance(refused, errors.TenantLimitExceeded)
    assert not isinstance(refused, errors.TenantWaitTimeout)
    assert (refused.limit, refused.allowed) == ("max_waiting", 1)
    assert pools.stats().limit_hits["max_waiting"] == 1


def test_idle_connections_are_cleaned_up(ground, make_pools, limits):
    pools = make_pools(limits=limits(idle=0.2))
    pools.execute("t1", "SELECT 1")
    with pools.tenant("t2") as connection:
        # Nobody asks for it: the maintenance thread alone.
        assert eventually(lambda: pools.stats().of("t1") is None)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pools.stats().totals.expired >= 1
    assert ground.settled(pools.application_name, []) or pools.stats().of("t2")


def test_pools_beyond_the_maximum_evict_the_least_recently_used(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_pools=3))
    for tenant in ("t1", "t2", "t3", "t1", "t4"):
        pools.execute(tenant, "SELECT 1")
    assert ground.settled(pools.application_name, ["ws_t1", "ws_t3", "ws_t4"])
    stats = pools.stats()
    assert (stats.open_pools, stats.max_pools, stats.evictions) == (3, 3, 1)


def test_a_pool_that_somebody_holds_is_never_evicted(make_pools, limits):
    pools = make_pools(limits=limits(max_pools=2))
    with pools.tenant("t1") as connection:
        for number in range(2, 8):
            pools.execute(f"t{number}", "SELECT 1")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pools.tenant("t8"), pytest.raises(errors.TenantLimitExceeded, match="max_pools"):
            pools.tenant("t9", timeout=0.01).__enter__()
    assert pools.stats().of("t1").evicted == 0


def test_a_caller_that_is_interrupted_leaves_the_queue_and_is_no_timeout(make_pools, limits):
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    pools = make_pools(limits=limits(max_per_tenant=1))
    main = threading.main_thread().ident
    ready, release = threading.Semaphore(0), threading.Event()
    holder = threading.Thread(target=hold, args=(pools, "t1", ready, release))
    ender = threading.Thread(
        target=lambda: (
            eventually(lambda: pools.stats().waiting),
            signal.pthread_kill(main, signal.SIGUSR1),
        )
    )
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        holder.start()
        assert ready.acquire(timeout=PATIENCE)
        ender.start()
        with pytest.raises(Interrupted), pools.tenant("t1"):
            pytest.fail("a connection was handed out")
    finally:
        ender.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
        release.set()
        holder.join(PATIENCE)
    stats = pools.stats()
    assert (stats.waiting, stats.used, stats.totals.timeouts) == (0, 0, 0)


def test_a_callers_deadline_evicts_nobody(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1))
    pools.execute("t2", "SELECT 1")
    with pools.tenant("t1"):
        for _ in range(3):
            with pytest.raises(errors.TenantWaitTimeout):
                pools.tenant("t1", timeout=0).__enter__()
    pools.execute("t1", "SELECT 1")
    stats = pools.stats()
    assert (stats.of("t1").opened, stats.of("t2").opened, stats.totals.closed) == (1, 1, 0)


def test_stats_are_exactly_what_the_server_sees(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=2))
    with pools.tenant("t1"), pools.tenant("t1"), pools.tenant("t2"), pools.system():
        stats = pools.stats()
        there = ground.sessions(pools.application_name)
        assert there == ["app", "ws_t1", "ws_t1", "ws_t2"]
        assert stats.used == len(there) == len(pools.leases())
        with Admin.connect(ground.conninfo) as admin:
            pids = admin.rows(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s",
                (pools.application_name,),
            )
        assert {lease.pid for lease in pools.leases()} == {pid for (pid,) in pids}
    stats = pools.stats()
    assert (stats.used, stats.idle) == (0, len(ground.sessions(pools.application_name)))


def test_each_tenant_has_its_own_maximum(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=2))
    ready, release = threading.Semaphore(0), threading.Event()

    def count_them():
        for _ in range(6):
            assert ready.acquire(timeout=PATIENCE)
        try:
            return ground.sessions(pools.application_name)
        finally:
            release.set()

    holders = [lambda t=tenant: hold(pools, t, ready, release) for tenant in ("t1", "t2", "t3") * 3]
    *_, there = succeeded(together([*holders, count_them]))
    assert [there.count(f"ws_t{number}") for number in (1, 2, 3)] == [2, 2, 2]


def test_the_system_pool_is_protected_from_tenants(make_pools, limits):
    pools = make_pools(limits=limits(max_connections=4, max_per_tenant=9, system_connections=2))
    with pools.tenant("t1"), pools.tenant("t2"):
        with pytest.raises(errors.TenantWaitTimeout) as full:
            pools.tenant("t3", timeout=0.01).__enter__()
        assert (full.value.limit, full.value.allowed) == ("max_connections", 2)
        with (
            pools.system(),
            pools.system(),
            pytest.raises(errors.TenantWaitTimeout, match="system_connections"),
        ):
            pools.system(timeout=0.01).__enter__()
    # And the other way round: it never takes a tenant's.
    assert (pools.stats().system.evicted, pools.stats().evictions) == (0, 0)


def test_errors_leak_nothing(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1))

    def fail(tenant, *statements):
        with pools.tenant(tenant) as connection:
            for statement in statements:
                connection.execute(statement)

    for _ in range(5):
        with pytest.raises(Exception, match="division by zero"):
            fail("t1", "SELECT 1 / 0")
        with pytest.raises(errors.TenantDatabaseMissing):
            fail("missing")
        with pytest.raises(errors.InvalidTenantName):
            fail("")
        with pytest.raises(Exception, match="terminating connection"):
            fail("t2", "SELECT pg_terminate_backend(pg_backend_pid())")
    stats = pools.stats()
    assert (stats.used, stats.opening, stats.waiting, stats.idle) == (0, 0, 0, 1)
    assert ground.settled(pools.application_name, ["ws_t1"])


def test_clean_up_releases_everything(ground, make_pools, limits):
    threads = set(threading.enumerate())
    pools = make_pools(limits=limits(max_per_tenant=3))
    succeeded(
        together([lambda n=number: pools.execute(f"t{n % 7}", "SELECT 1") for number in range(21)])
    )
    pools.execute_system("SELECT 1")
    pools.close()
    stats = pools.stats()
    assert (stats.connections, stats.open_pools, stats.waiting) == (0, 0, 0)
    assert stats.totals.opened == stats.totals.closed
    assert ground.settled(pools.application_name, [])
    assert set(threading.enumerate()) <= threads


def test_limits_above_what_the_server_has_name_both_figures(make_pools, limits):
    with pytest.raises(errors.TenantLimitsInvalid, match=r"max_connections: 98; the server has 97"):
        make_pools(limits=limits(max_connections=98)).open()
    with make_pools(limits=limits(max_connections=97)) as pools:
        assert pools.fetch_one("t1", "SELECT 1") == (1,)


def test_limits_that_are_not_given_are_what_the_server_has(pools):
    pools.execute("t1", "SELECT 1")
    stats = pools.stats()
    ((server, units),) = stats.capacities.items()
    assert units == 97
    assert stats.shares == {server: 97 - TenantLimits().system_connections}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"max_pools": 0}, "max_pools is 0"),
        ({"max_per_tenant": True}, "max_per_tenant is True"),
        ({"max_connections": "many"}, "max_connections is 'many'"),
        ({"wait": -1}, "wait is -1"),
        ({"idle": float("nan")}, "idle is nan"),
        ({"max_connections": 4, "system_connections": 4}, "none is left for tenants"),
    ],
)
def test_limits_that_cannot_be_are_refused(given, words):
    with pytest.raises(errors.TenantLimitsInvalid, match=words):
        TenantLimits(**given)


def test_the_number_of_threads_does_not_grow_with_tenants(make_pools):
    pools = make_pools()
    pools.execute("t0", "SELECT 1")
    before = threading.active_count()
    pools.warm(f"t{number}" for number in range(50))
    assert pools.stats().open_pools == 50
    assert threading.active_count() == before
