"""What breaks is noticed, told by a typed error, and recovered from without a restart of the application."""

from contextlib import suppress

import psycopg
import pytest
from postgres_server import pg_ctl
from tenants_world import another_tongue, eventually, succeeded, together

from freshpg import errors
from freshpg.core.clock import SystemClock
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import ident
from freshpg.testing import FaultyServer


class HandClock(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def pid(pools, tenant):
    return pools.fetch_one(tenant, "SELECT pg_backend_pid()")[0]


def test_a_stale_connection_is_found_before_it_is_handed_out(ground, make_pools):
    pools = make_pools(stale_after=0.0)
    before = pid(pools, "t1")
    ground.end_sessions(pools.application_name)
    assert pid(pools, "t1") != before
    assert (pools.stats().of("t1").stale, pools.stats().of("t1").opened) == (1, 2)


def test_one_dead_connection_casts_doubt_on_those_that_rest_elsewhere(ground, make_pools):
    clock = HandClock()
    pools = make_pools(clock=clock, stale_after=5.0)
    pid(pools, "t1")
    clock.now += 4
    pid(pools, "t2")
    ground.end_sessions(pools.application_name)
    clock.now += 2
    # The first rests for long enough to be looked at; the second is looked at because of the first.
    pid(pools, "t1")
    pid(pools, "t2")
    assert pools.stats().totals.stale == 2


def test_a_database_dropped_from_outside_is_told_and_used_again_when_it_is_back(
    ground, make_pools, own_databases
):
    pools = make_pools(stale_after=0.0)
    own_databases.execute("CREATE DATABASE ws_gone STRATEGY file_copy")
    pid(pools, "gone")
    own_databases.execute("DROP DATABASE ws_gone WITH (FORCE)")
    with pytest.raises(errors.TenantDatabaseMissing) as missing:
        pid(pools, "gone")
    assert missing.value.tenant == "gone"
    assert pools.stats().of("gone") is None
    assert pid(pools, "t1")
    own_databases.execute("CREATE DATABASE ws_gone STRATEGY file_copy")
    assert pid(pools, "gone")
    pools.close_tenant("gone")


def test_a_refusal_in_another_language_is_understood_by_asking_the_system_database(
    ground, make_pools
):
    refused = {
        "ws_gone": ("ВАЖНО", "3D000", 'база данных "ws_gone" не существует'),
        "ws_t1": ("치명적오류", "42501", '"ws_t1" 데이터베이스 액세스 권한 없음'),
    }
    with another_tongue(ground.conninfo, refused) as place:
        pools = make_pools(
            tenants=lambda tenant: ground.address(f"ws_{tenant}", host=place),
            system=ground.address("app", host=place),
        )
        for _ in range(6):
            with pytest.raises(errors.TenantDatabaseMissing, match="не существует"):
                pid(pools, "gone")
            # There it is, and somebody may log in: what is wrong is in the server's own words.
            with pytest.raises(errors.TenantConnectFailed, match="액세스"):
                pid(pools, "t1")
        # None of it says that the server is down.
        assert pid(pools, "t3")
        pools.close()


def test_a_refused_login_in_another_language_is_understood_by_asking_the_system_database(
    ground, make_pools
):
    refused = {"ws_t1": ("致命错误", "28000", '角色 "stranger" 不存在')}
    with another_tongue(ground.conninfo, refused) as place:
        pools = make_pools(
            tenants=lambda tenant: ground.address(f"ws_{tenant}", host=place),
            system=ground.address("app", host=place),
            credentials=lambda tenant: {"user": "stranger"} if tenant else {},
        )
        with pytest.raises(errors.TenantCredentialsRefused, match="stranger"):
            pid(pools, "t1")
        pools.close()


def test_a_database_that_lets_nobody_in_is_no_server_that_is_down(ground, pools, own_databases):
    own_databases.execute("CREATE DATABASE ws_shut STRATEGY file_copy ALLOW_CONNECTIONS false")
    for _ in range(8):
        with pytest.raises(errors.TenantDatabaseMissing):
            pid(pools, "shut")
    assert pid(pools, "t1")


@pytest.mark.parametrize(
    "name, words",
    [
        ("", "empty"),
        ("nul\0byte", "NUL"),
        ("\ud800", "surrogate"),
        ("x" * 61, "64 bytes"),
        ("ü" * 31, "65 bytes"),
        (None, "NoneType"),
        (7, "int"),
        (["t1"], "list"),
    ],
)
def test_an_invalid_name_is_refused_before_anything_is_asked(pools, name, words):
    for use in (pools.tenant, pools.ensure_database, pools.drop_database):
        with pytest.raises(errors.InvalidTenantName, match=words):
            use(name).__enter__()
    assert pools.stats().pools == ()


@pytest.mark.parametrize(
    "name",
    [
        "x" * 60,
        "ü" * 30,
        "Ünïcödé 世界 🐘",
        "it's",
        'say "hello"',
        "back\\slash",
        "x'; DROP DATABASE app; --",
        'x"; DROP DATABASE app; --',
        "x dbname=postgres host=elsewhere",
        "x' dbname='postgres",
        "{tenant}",
        "%s",
        "line\nbreak",
        " ",
    ],
    ids=ascii,
)
def test_an_edge_of_naming_is_a_database_like_any_other(pools, own_databases, name):
    assert pools.ensure_database(name)
    assert pools.fetch_one(name, "SELECT current_database()") == (f"ws_{name}",)
    assert pools.drop_database(name)
    assert own_databases.value("SELECT count(*) FROM pg_database WHERE datname = 'app'") == 1


@pytest.mark.parametrize("name", ["postgres", "template0", "template1", "app"])
@pytest.mark.parametrize("told", [False, True], ids=["given", "told"])
def test_a_tenant_is_never_led_to_a_database_that_is_no_tenants(ground, make_pools, name, told):
    system = ground.address("app")
    pools = make_pools(
        tenants=ground.tenants.replace("ws_", ""), system=(lambda: system) if told else system
    )
    with pytest.raises(errors.InvalidTenantName):
        pid(pools, name)


@pytest.mark.parametrize("url", ["postgresql://h/fixed", "postgresql://{tenant}/db"])
def test_an_address_without_a_place_for_tenants_is_refused(make_pools, url):
    with pytest.raises(errors.UrlInvalid, match="stands in"):
        make_pools(tenants=url)


def test_errors_in_a_block_are_recovered_from(pools):
    before = pid(pools, "t1")

    def use(*statements):
        with pools.tenant("t1") as connection:
            for statement in statements:
                connection.execute(statement)

    with pytest.raises(psycopg.errors.UndefinedTable):
        use("SELECT * FROM nowhere")
    with pytest.raises(psycopg.errors.UniqueViolation):
        # Only found out at the commit, which the block's end does.
        use(
            "CREATE TEMP TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO late VALUES (1), (1)",
        )
    assert pid(pools, "t1") == before


def test_a_connection_closed_or_broken_in_a_block_is_replaced(pools):
    with pools.tenant("t1") as connection:
        connection.close()
    with pools.tenant("t1") as connection, pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert pid(pools, "t1")
    assert pools.stats().totals.opened == 3


def test_a_connection_left_in_the_middle_of_something_is_not_handed_on(pools):
    checkout = pools.tenant("t1")
    connection = checkout.__enter__()
    first = connection.info.backend_pid
    connection.pgconn.send_query(b"SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="in progress"):
        checkout.__exit__(None, None, None)
    with pools.tenant("t1") as connection:
        assert connection.info.backend_pid != first
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_a_reset_or_check_that_fails_costs_the_connection_only(make_pools):
    def reset(connection):
        raise ValueError(connection)

    pools = make_pools(reset=reset)
    assert pid(pools, "t1") != pid(pools, "t1")

    def check(connection):
        raise ValueError("never good enough")

    pools = make_pools(check=check)
    with pytest.raises(errors.TenantConnectFailed, match="never good enough"):
        pid(pools, "t1")
    assert pools.stats().connections == 0


def test_callers_that_fail_at_once_take_nobody_along(ground, make_pools, limits):
    pools = make_pools(limits=limits(max_per_tenant=1, max_connections=4))
    tenants = ["missing", "t1", "t2", "missing"] * 6
    results = together([lambda tenant=tenant: pid(pools, tenant) for tenant in tenants])
    for tenant, result in zip(tenants, results, strict=True):
        if tenant == "missing":
            assert isinstance(result, errors.TenantDatabaseMissing)
        else:
            assert isinstance(result, int)
    stats = pools.stats()
    assert (stats.used, stats.opening, stats.waiting) == (0, 0, 0)
    assert stats.totals.failed == 12


def test_clean_up_works_in_a_half_failed_state(ground, pools):
    pid(pools, "t4")
    with pools.tenant("t1"), pools.tenant("t2"), pools.tenant("t3"):
        ground.end_sessions(pools.application_name)
        with pytest.raises(errors.TenantDatabaseMissing):
            pid(pools, "missing")
        pools.close_tenant("t2")
        pools.close_tenant("t4")
    assert pools.stats().used == 0
    pools.close()
    assert ground.settled(pools.application_name, [])


def test_the_system_pool_is_taken_again_after_its_loss(ground, make_pools):
    pools = make_pools(stale_after=0.0)
    (before,) = pools.fetch_one_system("SELECT pg_backend_pid()")
    ground.end_sessions(pools.application_name)
    (after,) = pools.fetch_one_system("SELECT pg_backend_pid()")
    assert before != after
    with pools.system() as connection:
        ground.end_sessions(pools.application_name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert pools.fetch_one_system("SELECT 1") == (1,)


def test_a_double_clean_up_is_one(ground, pools, own_databases):
    pools.ensure_database("twice")
    pid(pools, "twice")
    assert [pools.drop_database("twice") for _ in range(2)] == [True, False]
    succeeded(together([pools.close] * 2))
    assert ground.settled(pools.application_name, [])


def test_a_server_restarted_in_mid_use_is_used_again(rough, make_pools):
    pools = make_pools(ground=rough, stale_after=0.0)
    pools.warm(["t0", "t1", "t2"])

    def restart_inside():
        with pools.tenant("t0") as connection:
            pg_ctl(rough.conninfo, "restart", "-m", "fast")
            connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError):
        restart_inside()
    for tenant in ("t0", "t1", "t2"):
        assert pools.fetch_one(tenant, "SELECT current_database()") == (f"ws_{tenant}",)
    assert pools.fetch_one_system("SELECT 1") == (1,)
    stats = pools.stats()
    assert (stats.open_pools, stats.used) == (3, 0)


def test_a_server_that_is_down_is_told_until_it_is_up(rough, make_pools):
    """The breaker is the server's: a tenant that was never tried is refused as fast as the others."""
    clock = HandClock()
    pools = make_pools(ground=rough, clock=clock, stale_after=0.0).open()
    pg_ctl(rough.conninfo, "stop", "-m", "fast")
    try:
        for _ in range(12):
            with pytest.raises(errors.TenantServerDown):
                pid(pools, "t0")
        with pytest.raises(errors.TenantServerDown, match="attempts at") as refused:
            pid(pools, "t2")
        assert refused.value.retry_in > 0
    finally:
        pg_ctl(rough.conninfo, "start")
    with pytest.raises(errors.TenantServerDown):
        pid(pools, "t0")
    clock.now += refused.value.retry_in
    assert pid(pools, "t0")
    assert pid(pools, "t2")


def test_a_network_cut_in_the_middle_of_a_result_is_an_error_and_no_more(ground, make_pools):
    with FaultyServer(ground.conninfo.with_(user="postgres", dbname="ws_t1")) as proxy:
        through = proxy.conninfo
        pools = make_pools(
            tenants=lambda tenant: through.with_(dbname=f"ws_{tenant}").keywords(), system=None
        )
        pid(pools, "t1")

        def read():
            with pools.tenant("t1") as connection:
                proxy.cut_after(20_000)
                return connection.execute("SELECT repeat('x', 100) FROM generate_series(1, 9999)")

        with pytest.raises(psycopg.OperationalError):
            read()
        assert pools.stats().used == 0
        assert pools.fetch_one("t1", "SELECT count(*) FROM generate_series(1, 9999)") == (9999,)
        pools.close()
        assert eventually(lambda: proxy.connections == 0)


@pytest.mark.parametrize("connect, hurry", [(0.05, None), (60.0, 0.05)])
def test_a_server_that_says_nothing_is_given_up_at_the_deadline(
    ground, make_pools, limits, connect, hurry
):
    with FaultyServer(ground.conninfo.with_(user="postgres", dbname="ws_t1")) as proxy:
        through = proxy.conninfo
        proxy.half_open()
        pools = make_pools(
            tenants=lambda tenant: through.with_(dbname=f"ws_{tenant}").keywords(),
            limits=limits(connect=connect),
            # The driver's own patience, so that it is not what ends the attempt.
            kwargs={"connect_timeout": 60},
        )
        refusal = errors.TenantServerDown if hurry is None else errors.TenantWaitTimeout
        for _ in range(6):
            with pytest.raises(refusal), pools.tenant("t1", timeout=hurry):
                pytest.fail("a connection was handed out")
        # A server that answers is not said to be down because its callers are in a hurry.
        breakers = pools._engine.opener.breakers
        state = breakers.of(pools._addresses.of("t1").server).state
        assert state == ("open" if hurry is None else "closed")
        breakers.forget()
        # Others are elsewhere, and feel nothing.
        assert pools.fetch_one_system("SELECT 1") == (1,)
        proxy.heal()

        def answers():
            with suppress(errors.TenantServerDown):
                return pid(pools, "t1")

        assert eventually(answers)


def test_a_rotated_password_needs_no_restart(rough, make_pools):
    passwords = ["first"]
    pools = make_pools(
        ground=rough,
        stale_after=0.0,
        credentials=lambda tenant: (
            {"user": "rotating", "password": passwords[-1]} if tenant else {}
        ),
    )
    assert pools.fetch_one("t1", "SELECT current_user") == ("rotating",)
    with Admin.connect(rough.conninfo) as admin:
        admin.execute(f"ALTER ROLE {ident('rotating')} PASSWORD 'second'")
    # Connections that are open stay good, new ones need the new word.
    assert pools.fetch_one("t1", "SELECT 1") == (1,)
    with pytest.raises(errors.TenantCredentialsRefused) as refused:
        pid(pools, "t2")
    assert "first" not in str(refused.value)
    passwords.append("second")
    assert pools.fetch_one("t2", "SELECT current_user") == ("rotating",)
    with Admin.connect(rough.conninfo) as admin:
        admin.execute(f"ALTER ROLE {ident('rotating')} PASSWORD 'first'")


def test_credentials_that_change_while_they_are_used_are_asked_for_again(rough, make_pools):
    words = iter(["old", "first"])
    pools = make_pools(
        ground=rough,
        system=None,
        credentials=lambda _: {"user": "rotating", "password": next(words, "first")},
    )
    assert pools.fetch_one("t1", "SELECT current_user") == ("rotating",)
