"""What `freshpg tenants` shows of a process with pools, and ends."""

import asyncio
import gc
import json
import threading

import psycopg
import pytest

from freshpg.cli import main
from freshpg.core.clock import Deadline
from freshpg.postgres.admin import Admin
from freshpg.tenants import AsyncTenantPools, TenantLimits, TenantPools
from freshpg.tenants.live import publish

PATIENCE = 30.0
LIMITS = TenantLimits(max_pools=3, max_per_tenant=1, wait=PATIENCE)


@pytest.fixture(scope="session")
def address(server):
    """A server with two workspaces; what tenants' addresses are made of."""
    with Admin.connect(server) as admin:
        for name in ("acme", "globex"):
            admin.execute(f"CREATE DATABASE wl_{name} STRATEGY file_copy")
    return f"host={server.host} user={server.user} password=letmein dbname=wl_{{tenant}}"


@pytest.fixture
def pools(address):
    with TenantPools(address, limits=LIMITS, name="shop", leak_after=3600) as pools:
        yield pools


@pytest.fixture
def published(pools, place):
    with publish(pools, environ=place) as published:
        yield published


@pytest.fixture
def freshpg(place, monkeypatch, capsys):
    """Run the command in this process."""
    monkeypatch.setenv("FRESHPG_RUNTIME", place["FRESHPG_RUNTIME"])
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words):
        capsys.readouterr()
        code = main(["tenants", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def asleep(server, pid):
    limit = Deadline(PATIENCE)
    with Admin.connect(server) as admin:
        while not admin.value(
            "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s", (pid,)
        ):
            assert not limit.expired


class Sleeper(threading.Thread):
    """Holds a connection that sleeps on the server."""

    def __init__(self, pools, server):
        super().__init__(name="sleeper")
        self.pools, self.error, self.pid = pools, None, 0
        self._ready = threading.Event()
        self.start()
        assert self._ready.wait(PATIENCE)
        asleep(server, self.pid)

    def run(self):
        try:
            with self.pools.tenant("acme") as connection:
                self.pid = connection.info.backend_pid
                self._ready.set()
                connection.execute("SELECT pg_sleep(20)")
        except psycopg.OperationalError as error:
            self.error = error


def test_nothing_is_shown_by_who_did_not_ask_for_it(pools, freshpg):
    with pools.tenant("acme"):
        code, out, err = freshpg()

    assert (code, err) == (0, "")
    assert "no process shows tenant pools" in out


def test_connections_are_counted_by_state(pools, published, freshpg):
    pools.execute("globex", "SELECT 1")
    with pools.tenant("acme") as connection:
        connection.execute("SELECT 1")
        code, out, _ = freshpg()

    assert code == 0
    assert (
        "shop: 2 tenants of 3, 2 connections (1 idle in transaction, 1 at rest), 0 callers wait"
        in out
    )
    assert "acme    1       0        0        1" in out
    assert "stuck" not in out


def test_a_stuck_lease_showl_its_owner_age_query_and_place(pools, published, freshpg):
    with pools.tenant("acme") as connection:
        connection.execute("SELECT 'the question'")
        code, out, _ = freshpg("--stuck", "0")
        pid = connection.info.backend_pid

    assert code == 0
    assert f"stuck {pid} of acme: held for " in out
    assert "by thread MainThread, idle in transaction, waits for Client: ClientRead" in out
    assert "query: SELECT 'the question'" in out
    assert "taken at: " in out
    assert "in test_a_stuck_lease_showl_its_owner_age_query_and_place" in out
    assert f"end it: freshpg tenants --end {pid}" in out


def test_everything_is_there_for_programs(pools, published, freshpg):
    with pools.tenant("acme") as connection:
        code, out, _ = freshpg("--json", "--stuck", "0")
        pid = connection.info.backend_pid
    (process,) = json.loads(out)["processes"]
    (lease,) = process["pools"]["leases"]

    assert code == 0
    assert process["pools"]["name"] == "shop"
    assert (lease["pid"], lease["tenant"], lease["state"], lease["stuck"]) == (
        pid,
        "acme",
        "idle",
        True,
    )
    assert lease["seconds"] > 0
    assert any("test_everything_is_there_for_programs" in line for line in lease["now_at"])


def test_no_password_is_ever_shown(pools, published, freshpg):
    with pools.tenant("acme"):
        said = freshpg("--json") + freshpg("--stuck", "0", "--all")

    assert "letmein" not in str(said)


def test_ending_a_lease_cancels_what_runs_and_raises_in_its_holder(
    pools, published, freshpg, server
):
    sleeper = Sleeper(pools, server)
    code, out, _ = freshpg("--end", str(sleeper.pid))
    sleeper.join(PATIENCE)

    assert code == 0
    assert f"ended {sleeper.pid} of acme, held for " in out
    assert "by thread sleeper" in out
    assert isinstance(sleeper.error, psycopg.OperationalError)
    assert pools.execute("acme", "SELECT 1") == [(1,)]


def test_a_holder_that_lets_go_while_it_is_ended_takes_nobody_along(address, place, freshpg):
    with TenantPools(address, limits=LIMITS) as pools, publish(pools, environ=place):
        checkout = pools.tenant("acme")
        connection = checkout.__enter__()
        # As quick as a holder can be: what it ran was cancelled, and it is back before the socket is shut.
        connection.cancel_safe = lambda **_: checkout.__exit__(None, None, None)

        code, _, _ = freshpg("--end", str(connection.info.backend_pid))

        assert code == 0
        assert pools.execute("acme", "SELECT 1") == [(1,)]


def test_only_a_lease_of_such_a_process_can_be_ended(pools, published, freshpg, server):
    with Admin.connect(server) as other:
        code, _, err = freshpg("--end", str(other.pid))

        assert other.value("SELECT 1") == 1
    assert code == 1
    assert "no process that shows its tenant pools holds" in err


def test_of_two_processes_with_that_number_one_has_to_be_named(monkeypatch, freshpg):
    from freshpg.tenants.live import client

    answers = [client.Answer(pid, {"pools": {"leases": [{"pid": 4711}]}}) for pid in (1, 2)]
    monkeypatch.setattr(client, "ask_everybody", lambda *_, **__: answers)
    code, _, err = freshpg("--end", "4711")

    assert code == 2
    assert "name one with --process" in err


def test_pools_of_tasks_show_the_task_and_where_it_waits(address, place, freshpg, server):
    async def handle(pools, pid):
        async with pools.tenant("acme") as connection:
            pid.set_result(connection.info.backend_pid)
            await connection.execute("SELECT pg_sleep(20)")

    async def scenario():
        pid = asyncio.get_running_loop().create_future()
        async with AsyncTenantPools(address, limits=LIMITS, name="shop") as pools:
            task = asyncio.create_task(handle(pools, pid), name="request 7")
            await asyncio.to_thread(asleep, server, await pid)
            with publish(pools, environ=place):
                shown = await asyncio.to_thread(freshpg, "--stuck", "0")
                ended = await asyncio.to_thread(freshpg, "--end", str(await pid))
            (result,) = await asyncio.gather(task, return_exceptions=True)
        return shown, ended, result

    shown, ended, result = asyncio.run(scenario())

    assert "by task request 7, active, waits for Timeout: PgSleep" in shown[1]
    assert "in handle" in shown[1]
    assert ended[0] == 0
    assert isinstance(result, psycopg.OperationalError)


def test_a_server_that_cannot_be_asked_is_said_so_and_the_rest_is_shown(
    pools, published, freshpg, server
):
    with pools.tenant("acme"), Admin.connect(server) as admin:
        admin.execute("ALTER DATABASE wl_acme ALLOW_CONNECTIONS false")
        code, out, err = freshpg("--stuck", "0")
        admin.execute("ALTER DATABASE wl_acme ALLOW_CONNECTIONS true")

    assert code == 0
    assert "of acme: held for" in out
    assert "was not asked what runs" in err


def test_being_looked_at_keeps_no_pools_alive(address, place, freshpg):
    pools = TenantPools(address, limits=LIMITS)
    published = publish(pools, environ=place)
    del pools
    gc.collect()
    _, out, _ = freshpg()
    published.close()

    assert "its pools are gone" in out
