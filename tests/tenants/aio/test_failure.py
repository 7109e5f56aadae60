"""What breaks is noticed, said in a typed error, and over when its cause is."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from tenants_world import another_tongue

from freshpg.core.clock import Deadline
from freshpg.core.errors import (
    FreshpgError,
    InvalidTenantName,
    ServerError,
    TenantConnectFailed,
    TenantCredentialsRefused,
    TenantDatabaseMissing,
    TenantServerDown,
    TenantWaitTimeout,
)
from freshpg.postgres.admin import Admin
from freshpg.testing import FakeClock, FaultyServer

PATIENCE = 30.0
pytestmark = pytest.mark.asyncio
WHERE = "SELECT current_database()"
PID = "SELECT pg_backend_pid()"


async def recovered(work):
    """What ``work`` returns once it does: a server that comes back takes a moment."""
    limit = Deadline(PATIENCE)
    while True:
        try:
            return await work()
        except (FreshpgError, psycopg.OperationalError):
            if limit.expired:
                raise
            await asyncio.sleep(0.01)


async def test_a_connection_that_died_at_rest_is_replaced_unseen(make, world):
    pools = make(stale_after=0.0)
    (pid,) = await pools.fetch_one("acme", PID)
    world.end(pid)
    (fresh,) = await pools.fetch_one("acme", PID)

    assert fresh != pid
    assert pools.stats().totals.stale == 1


async def test_a_refusal_in_another_language_is_understood_by_asking_the_system_database(
    make, world
):
    refused = {
        "wa_gone": ("ВАЖНО", "3D000", 'база данных "wa_gone" не существует'),
        "wa_acme": ("치명적오류", "42501", '"wa_acme" 데이터베이스 액세스 권한 없음'),
    }
    with another_tongue(world.conninfo, refused) as place:
        pools = make(
            tenants=f"host={place} user=app dbname=wa_{{tenant}}",
            system=f"host={place} user=app dbname=wapp",
        )
        for _ in range(6):
            with pytest.raises(TenantDatabaseMissing, match="не существует"):
                await pools.execute("gone", WHERE)
            # There it is, and the role may log in: what is wrong is in the server's own words.
            with pytest.raises(TenantConnectFailed, match="액세스"):
                await pools.execute("acme", WHERE)
        rows = await pools.execute("globex", WHERE)
        await pools.close()

    # None of it says that the server is down.
    assert rows == [("wa_globex",)]


async def test_a_tenant_that_moves_is_found_where_it_is(make, world):
    async with FaultyServer(world.conninfo) as elsewhere:
        there = {**world.conninfo.keywords(), **elsewhere.conninfo.keywords()}
        here = world.conninfo.with_(user="app").keywords()
        home = [here]
        pools = make(
            tenants=lambda tenant: {**home[-1], "dbname": f"wa_{tenant}"},
            system=None,
            stale_after=0.0,
        )
        async with pools.tenant("acme") as before:
            home.append(there)
            async with pools.tenant("acme") as after:
                hosts = [before.info.host, after.info.host]
                used = [pool.used for pool in pools.stats().pools]
        (moved,) = pools.stats().pools
        # A server that is gone takes its connections along: the next one is opened where the tenant is now.
        home.append(here)
        ((_, pid),) = world.settled(pools, 1)
        world.end(pid)
        rows = await recovered(lambda: pools.execute("acme", WHERE))
        (back,) = pools.stats().pools
        expected = [pools._addresses.of("acme").server, hosts[0]]
        await pools.close()

    assert hosts == [here["host"], there["host"]]
    assert used == [1, 1]
    assert (moved.idle, back.idle) == (1, 1)
    assert back.server == expected[0] != moved.server
    assert rows == [("wa_acme",)]
    assert pools.stats().totals.failed == 0


async def test_a_query_that_failed_is_not_run_again(make, world):
    pools = make()
    await pools.execute("acme", "DELETE FROM note")
    async with pools.tenant("acme") as connection:
        pid = connection.info.backend_pid
        await connection.execute("INSERT INTO note (body) VALUES ('once')")
        world.end(pid)
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("INSERT INTO note (body) VALUES ('twice')")

    assert await pools.execute("acme", "SELECT body FROM note") == []


async def test_a_database_dropped_from_outside_is_said_to_be_missing_and_found_again(
    make, world, added
):
    pools = make(stale_after=0.0)
    await pools.ensure_database("gone")
    await pools.execute("gone", WHERE)
    world.run('DROP DATABASE "wa_gone" WITH (FORCE)')
    with pytest.raises(TenantDatabaseMissing) as raised:
        await pools.execute("gone", WHERE)
    others = await pools.execute("acme", WHERE)
    world.run(world.workspace("gone"))

    assert raised.value.tenant == "gone"
    assert others == [("wa_acme",)]
    assert await pools.execute("gone", WHERE) == [("wa_gone",)]


@pytest.mark.parametrize(
    "name", ["", "a" * 61, "\N{SNOWMAN}" * 21, "half\0way", "\ud800", None, 7, b"acme"]
)
async def test_a_name_that_makes_no_database_is_refused_before_anything_is_asked(make, name):
    pools = make(tenants="host=/nowhere user=app dbname=wa_{tenant}", system=None)
    with pytest.raises(InvalidTenantName):
        await pools.execute(name, WHERE)

    assert pools.stats().totals.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "a" * 60,
        "\N{SNOWMAN}" * 20,
        "O'Brien",
        'say "hi"',
        "x'; DROP DATABASE wapp; --",
        "a b=c",
        "dbname=app",
        "%20",
        "{tenant}",
        "\\",
    ],
)
async def test_every_other_name_is_only_a_name(make, world, added, name):
    pools = make()
    await pools.ensure_database(name)
    found = await pools.fetch_one(name, WHERE)
    await pools.drop_database(name)

    assert found == (f"wa_{name}",)
    assert await pools.execute_system(WHERE) == [("wapp",)]


async def test_errors_of_the_users_leave_the_pool_as_it_was(make):
    pools = make(limits={"max_per_tenant": 1})
    for statement in ("SELECT nonsense", "SELECT 1/0", "SELEKT", "SELECT * FROM nowhere"):
        with pytest.raises(psycopg.Error):
            await pools.execute("acme", statement)

    assert await pools.fetch_one("acme", WHERE) == ("wa_acme",)
    assert pools.stats().of("acme").opened == 1


async def test_many_fail_at_once_and_each_gets_its_own_error(make):
    pools = make(limits={"max_per_tenant": 2, "max_connections": 8})
    results = await asyncio.gather(
        *(pools.execute(tenant, WHERE) for tenant in ("nowhere", "acme", "neither") * 10),
        return_exceptions=True,
    )
    stats = pools.stats()

    assert results[1::3] == [[("wa_acme",)]] * 10
    assert {type(one) for one in results[0::3] + results[2::3]} == {TenantDatabaseMissing}
    assert {one.tenant for one in results[0::3]} == {"nowhere"}
    assert (stats.used, stats.opening, stats.waiting, stats.open_pools) == (0, 0, 0, 1)


async def test_clean_up_in_a_half_failed_state_closes_the_other_half(make, world):
    pools = make()
    await pools.warm(["acme", "globex"])
    with pytest.raises(TenantDatabaseMissing):
        await pools.execute("nowhere", WHERE)
    (dead,) = [pid for name, pid in world.sessions(pools) if name == "wa_acme"]
    world.end(dead)
    await pools.close()

    assert world.settled(pools, 0) == []


async def test_the_system_pool_is_taken_again_after_its_loss(make, world):
    pools = make(stale_after=0.0)
    (pid,) = await pools.fetch_one_system(PID)
    world.end(pid)
    (fresh,) = await pools.fetch_one_system(PID)

    assert fresh != pid


async def test_clean_up_twice_at_once_after_a_failure_is_fine(make, world):
    pools = make()
    with pytest.raises(TenantDatabaseMissing):
        await pools.execute("nowhere", WHERE)
    await asyncio.gather(pools.close(), pools.close())
    await pools.close()

    assert world.settled(pools, 0) == []


async def test_a_server_that_restarts_in_mid_use_is_used_again_when_it_is_back(make, world):
    pools = make(stale_after=0.0)
    await pools.warm(["acme", "globex"])
    async with pools.tenant("acme") as connection:
        # A killed backend makes the postmaster end all others and start over.
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT pg_sleep(10)")
    rows = [
        await recovered(lambda tenant=tenant: pools.execute(tenant, WHERE))
        for tenant in ("acme", "globex")
    ]

    assert rows == [[("wa_acme",)], [("wa_globex",)]]
    assert await recovered(lambda: pools.execute_system(WHERE)) == [("wapp",)]


async def test_a_network_cut_in_the_middle_of_a_result_costs_that_result_alone(make, world):
    async with FaultyServer(world.conninfo) as faulty:
        keywords = {**world.conninfo.keywords(), **faulty.conninfo.keywords()}
        pools = make(
            tenants=lambda tenant: {**keywords, "dbname": f"wa_{tenant}"},
            system=None,
            stale_after=0.0,
        )
        await pools.execute("acme", WHERE)
        faulty.cut_after(100_000)
        with pytest.raises(psycopg.OperationalError):
            await pools.execute("acme", "SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
        faulty.heal()
        rows = await recovered(lambda: pools.execute("acme", WHERE))
        await pools.close()

    assert rows == [("wa_acme",)]
    assert pools.stats().used == 0


async def test_a_server_that_is_gone_is_left_alone_until_it_is_back(make, world):
    clock = FakeClock()
    async with FaultyServer(world.conninfo) as faulty:
        keywords = {**world.conninfo.keywords(), **faulty.conninfo.keywords()}
        pools = make(
            tenants=lambda tenant: (
                world.tenants.replace("{tenant}", tenant)
                if tenant == "acme"
                else {**keywords, "dbname": f"wa_{tenant}"}
            ),
            clock=clock,
        )
        await pools.execute("acme", WHERE)
        faulty.refuse()
        failures = []
        for _ in range(8):
            with pytest.raises(TenantServerDown) as raised:
                await pools.execute("globex", WHERE)
            failures.append(raised.value)
        # Another tenant of that server is refused without being tried; another server is not.
        with pytest.raises(TenantServerDown) as other:
            await pools.execute("initech", WHERE)
        elsewhere = await pools.execute("acme", WHERE)
        faulty.heal()
        clock.sleep(other.value.retry_in)
        rows = await pools.execute("globex", WHERE)
        await pools.close()

    assert failures[0].retry_in == 0
    assert other.value.retry_in > 0
    assert elsewhere == [("wa_acme",)]
    assert rows == [("wa_globex",)]


@pytest.mark.parametrize("connect, hurry", [(0.05, None), (60.0, 0.05)])
async def test_a_server_that_says_nothing_is_given_up_at_the_deadline(make, world, connect, hurry):
    async with FaultyServer(world.conninfo) as faulty:
        keywords = {**world.conninfo.keywords(), **faulty.conninfo.keywords()}
        faulty.half_open()
        pools = make(
            tenants=lambda tenant: {**keywords, "dbname": f"wa_{tenant}"},
            limits={"connect": connect},
            # The driver's own patience, so that it is not what ends the attempt.
            kwargs={"connect_timeout": 60},
        )
        refusal = TenantServerDown if hurry is None else TenantWaitTimeout
        for _ in range(6):
            with pytest.raises(refusal):
                await pools.tenant("acme", timeout=hurry).__aenter__()
        breakers = pools._engine.opener.breakers
        state = breakers.of(pools._addresses.of("acme").server).state
        breakers.forget()
        faulty.heal()
        rows = await recovered(lambda: pools.execute("acme", WHERE))
        await pools.close()

    # A server that answers is not said to be down because its callers are in a hurry.
    assert state == ("open" if hurry is None else "closed")
    assert rows == [("wa_acme",)]


@pytest.fixture
def passwords(world):
    """The server asks the application's role for one."""
    hba = Path(world.conninfo.host, "data", "pg_hba.conf")
    before = hba.read_text()
    hba.write_text(f"local all app scram-sha-256\n{before}")
    world.run("SELECT pg_reload_conf()")
    wait_for_login(world, allowed=False)
    yield
    hba.write_text(before)
    world.run("SELECT pg_reload_conf()", "ALTER ROLE app PASSWORD 'first'")
    wait_for_login(world, allowed=True)


def wait_for_login(world, *, allowed):
    """The server reads its rules in its own time."""
    limit = Deadline(PATIENCE)
    found = None
    while found is not allowed:
        assert not limit.expired
        found = False
        with suppress(ServerError):
            Admin.connect(world.conninfo.with_(user="app", dbname="wapp")).close()
            found = True


async def test_a_rotated_password_is_asked_for_and_the_old_one_said_to_be_refused(
    make, world, passwords
):
    password = {"password": "first"}
    asked = []

    async def credentials(tenant):
        asked.append(tenant)
        return password

    pools = make(credentials=credentials)
    await pools.execute("acme", WHERE)
    world.run("ALTER ROLE app PASSWORD 'second'")
    await pools.close_tenant("acme")
    with pytest.raises(TenantCredentialsRefused) as raised:
        await pools.execute("acme", WHERE)
    password["password"] = "second"
    rows = await pools.execute("acme", WHERE)
    await pools.close()

    assert "first" not in str(raised.value)
    assert rows == [("wa_acme",)]
    assert set(asked) == {None, "acme"}


async def test_a_check_that_refuses_everything_ends_with_an_error(make):
    async def check(connection):
        raise ValueError("never good enough")

    pools = make(check=check)
    with pytest.raises(TenantConnectFailed, match="never good enough"):
        await pools.execute("acme", WHERE)

    assert pools.stats().connections == 0


async def test_a_reset_that_fails_costs_the_connection_and_nothing_else(make):
    async def reset(connection):
        raise ValueError("cannot")

    pools = make(reset=reset)
    rows = [await pools.fetch_one("acme", WHERE) for _ in range(2)]

    assert rows == [("wa_acme",)] * 2
    assert pools.stats().connections == 0


async def test_a_configure_that_leaves_a_transaction_open_is_told_so(make):
    async def configure(connection):
        await connection.execute("SELECT 1")

    pools = make(configure=configure)
    with pytest.raises(TenantConnectFailed, match="configure"):
        await pools.execute("acme", WHERE)

    assert pools.stats().connections == 0


async def test_a_lease_that_is_ended_from_outside_raises_in_its_holder(make, world, until):
    pools = make()
    asleep = asyncio.create_task(pools.execute("acme", "SELECT pg_sleep(60)"))
    await until(pools.leases)
    (lease,) = pools.leases()
    await until(lambda: world.is_asleep(lease.pid))
    ended = [await pools.end_lease(lease.pid), await pools.end_lease(1)]
    (result,) = await asyncio.gather(asleep, return_exceptions=True)

    assert ended == [True, False]
    assert isinstance(result, psycopg.OperationalError)
    assert await pools.fetch_one("acme", WHERE) == ("wa_acme",)
