"""What a run survives: its server, its keeper, its lease, its stock killed at work; and what it tells of that."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from freshpg import aio, outstanding
from freshpg.core.clock import Deadline
from freshpg.core.errors import RestartsExhausted, ServerDied, SystemLimit
from freshpg.core.events import ChildCrashed, ChildRestarted, CloneMade
from freshpg.leases.lease import LeaseConnection
from freshpg.supervision.failures import classify
from freshpg.supervision.strategy import ChildSpec
from freshpg.supervision.supervisor import Child

CUSTOMERS = "SELECT count(*) FROM customer"


def count(database):
    with database.connect() as connection:
        return connection.execute(CUSTOMERS).fetchone()[0]


def postmaster_of(manager):
    return manager._holding.running.handle.pid


def kill_server(manager):
    """Kill it, and return when the system knows that it has ended."""
    process = manager._holding.process
    os.kill(postmaster_of(manager), signal.SIGKILL)
    wait_until(lambda: process.ended or process.descriptor < 0)


def wait_until(condition, seconds=30.0):
    limit = Deadline(seconds)
    while not condition():
        assert not limit.expired, "it did not come to pass"
        os.sched_yield()


@pytest.fixture
def heard(manager):
    events = []
    manager.events.subscribe(events.append)
    return lambda kind, child: [
        event for event in events if isinstance(event, kind) and event.child == child
    ]


@pytest.mark.parametrize("level", ["readonly", "rollback", "reset", "clone"])
def test_after_the_server_was_killed_the_next_checkout_works(manager, level):
    with manager.lease(isolation=level) as database:
        assert count(database) == 1
    old = postmaster_of(manager)
    kill_server(manager)
    with manager.lease(isolation=level) as database:
        assert count(database) == 1
    assert postmaster_of(manager) != old


def test_a_database_whose_server_dies_while_it_is_handed_out_is_not_handed_out(manager):
    with manager.lease():
        pass
    entered = []

    def enter(holding):
        entered.append(holding)
        if len(entered) == 1:
            kill_server(manager)
        return holding

    assert manager._lending._supervised.hand_out(enter) is entered[1]
    assert [holding.has_died for holding in entered] == [True, False]


def test_whoever_had_a_database_is_told_what_was_seen(manager):
    database = manager.acquire(test="tests/test_shop.py::test_cart")
    assert manager.lost(database) is None
    kill_server(manager)
    assert isinstance(manager.lost(database), ServerDied)
    with pytest.raises(ServerDied) as caught:
        manager.release(database)
    error = caught.value
    assert (error.code, error.origin) == ("FPG-S08", "infrastructure")
    assert "was ended by SIGKILL" in error.seen
    assert "ready to accept connections" in error.log
    assert (error.status, database.name in error.on) == (-signal.SIGKILL, True)
    assert manager.lost(database) is error
    with manager.lease() as after:
        assert count(after) == 1
        assert manager.lost(after) is None


def test_who_saw_a_connection_end_waits_for_the_end_of_its_server_to_be_told(manager, monkeypatch):
    monkeypatch.setattr(outstanding, "DYING_SECONDS", 10.0)
    database = manager.acquire()
    seen = psycopg.OperationalError("server closed the connection unexpectedly")
    killer = threading.Timer(0.05, kill_server, [manager])
    assert manager.lost_under(AssertionError("1 == 2"), [database]) is None
    killer.start()
    try:
        assert isinstance(manager.lost_under(seen, [database]), ServerDied)
    finally:
        killer.join()


def test_acts_on_a_database_whose_server_died_say_so(manager):
    database = manager.acquire()
    kill_server(manager)
    for act in (
        database.reset,
        database.audit,
        database.prove,
        database.reset_sequences,
        lambda: database.keep("to look at"),
        lambda: database.truncate("customer"),
    ):
        with pytest.raises(ServerDied):
            act()
    with pytest.raises(ServerDied):
        manager.release(database)


def test_the_body_of_a_lease_raises_what_it_met_and_the_lease_what_it_was(manager):
    with pytest.raises(ServerDied) as caught, manager.lease() as database:  # noqa: PT012 (as users write it)
        connection = database.connect()
        kill_server(manager)
        # Its session may outlive the postmaster by a statement or two.
        while True:
            connection.execute(CUSTOMERS)
    assert isinstance(caught.value.__context__, psycopg.OperationalError)
    assert classify(caught.value).is_infrastructure


def test_what_a_dead_server_left_is_gone_when_the_next_one_is_there(manager):
    with manager.lease():
        pass
    directory = manager._holding.running.handle.directory
    kill_server(manager)
    with manager.lease():
        pass
    assert not directory.exists()


@pytest.mark.slow
def test_databases_of_several_blueprints_and_scopes_live_again(make_manager):
    manager = make_manager(
        databases={
            name: {"name": f"{name}_test", "migrations": ["schema.sql"]}
            for name in ("main", "other")
        }
    )
    wide = manager.acquire("other")
    with manager.lease("main"):
        pass
    kill_server(manager)
    for name in ("main", "other"):
        with manager.lease(name) as database:
            assert count(database) == 1
    with pytest.raises(ServerDied):
        manager.release(wide)


def test_a_server_of_its_own_that_dies_concerns_its_test_alone(manager):
    with manager.lease() as shared:
        with pytest.raises(ServerDied), manager.lease(isolation="server") as database:  # noqa: PT012 (as users write it)
            with database.connect() as connection:
                (data,) = connection.execute("SHOW data_directory").fetchone()
            os.kill(int((Path(data) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            wait_until(lambda: manager.lost(database) is not None)
        assert count(shared) == 1
        assert manager.lost(shared) is None


def test_async_callers_survive_as_well(manager):
    async def run():
        with pytest.raises(ServerDied):
            async with aio.lease(manager):
                kill_server(manager)
        async with aio.lease(manager) as database, await database.aconnect() as connection:
            return await (await connection.execute(CUSTOMERS)).fetchone()

    assert asyncio.run(run()) == (1,)


def test_threads_that_check_out_while_the_server_dies_all_get_a_database(manager):
    with manager.lease():
        pass
    together = threading.Barrier(5)
    counted, failed = [], []

    def work():
        together.wait(10)
        try:
            with manager.lease() as database:
                counted.append(count(database))
        except (ServerDied, psycopg.OperationalError) as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    together.wait(10)
    kill_server(manager)
    for thread in threads:
        thread.join(40)
    assert len(counted) + len(failed) == 4
    with manager.lease() as database:
        assert count(database) == 1


def test_the_death_is_seen_without_anybody_asking(manager, heard):
    with manager.lease():
        pass
    old = postmaster_of(manager)
    kill_server(manager)
    wait_until(lambda: heard(ChildRestarted, "postmaster"))
    assert len(heard(ChildCrashed, "postmaster")) == 1
    assert "SIGKILL" in heard(ChildCrashed, "postmaster")[0].seen
    assert postmaster_of(manager) != old


@pytest.mark.slow
def test_three_deaths_in_a_row_end_it_with_the_last_lines(manager):
    for _ in range(2):
        with manager.lease():
            pass
        kill_server(manager)
    with manager.lease():
        pass
    kill_server(manager)
    for _ in range(2):
        with pytest.raises(RestartsExhausted) as caught:
            manager.acquire()
        assert (caught.value.child, caught.value.crashes) == ("postmaster", 3)
        assert "was ended by SIGKILL" in caught.value.seen
        assert "ready to accept connections" in caught.value.seen
    manager.stop()
    with manager.lease() as database:
        assert count(database) == 1


def test_a_killed_keeper_has_a_successor_that_knows_the_server(manager, heard):
    with manager.lease() as database:
        keeper = manager._holding.running.handle.keeper
        old = keeper.pid
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: heard(ChildRestarted, "keeper"))
        assert keeper.pid != old
        (mine,) = [one for one in keeper.servers() if one.id == manager.server_id]
        assert (mine.state, mine.owner["pid"]) == ("owned", os.getpid())
        assert count(database) == 1
    assert manager.lost(database) is None


@pytest.mark.slow
def test_keeper_and_server_killed_at_once_are_both_replaced(manager):
    with manager.lease():
        pass
    keeper = manager._holding.running.handle.keeper
    os.kill(keeper.pid, signal.SIGKILL)
    kill_server(manager)
    with manager.lease() as database:
        assert count(database) == 1


def test_a_lease_whose_session_was_ended_is_taken_again(manager, heard):
    with manager.lease() as database:
        lease = manager._holding.lease
        held, old = lease.held, lease.backend
        with manager._holding.running.admin() as admin:
            admin.value("SELECT pg_terminate_backend(%s)", (old,))
        wait_until(lambda: heard(ChildRestarted, "lease"))
        assert (lease.held, lease.alive) == (held, True)
        assert lease.backend != old
        assert manager.lost(database) is None


def test_however_often_a_test_ends_the_lease_the_run_goes_on(manager):
    for _ in range(4):
        with manager.lease() as database:
            with manager._holding.running.admin() as admin:
                admin.value("SELECT pg_terminate_backend(%s)", (manager._holding.lease.backend,))
            assert count(database) == 1


def test_a_killed_backend_costs_its_test_not_the_run(manager):
    with manager.lease(isolation="clone") as database:
        connection = database.connect()
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError) as caught:
            connection.execute(CUSTOMERS)
        del caught
    with manager.lease(isolation="clone") as database:
        assert count(database) == 1


def test_a_thread_of_the_stock_that_dies_is_replaced(manager, heard):
    dying = threading.Event()

    def die(event):
        if isinstance(event, CloneMade) and not dying.is_set():
            dying.set()
            raise SystemExit("a subscriber ended the thread it was called in")

    with manager.lease(isolation="clone"):
        manager.events.subscribe(die)
    for _ in range(4):
        with manager.lease(isolation="clone") as database:
            assert count(database) == 1
    assert dying.is_set()
    wait_until(lambda: heard(ChildRestarted, "stock"))


def test_what_is_kept_up_beside_the_server_is_restarted_by_itself_and_with_it(make_manager):
    acts = []
    recorder = Child(
        ChildSpec("recorder"), lambda: acts.append("start"), lambda _seconds: acts.append("stop")
    )
    manager = make_manager(beside=[recorder])
    manager.start()
    manager._lending._supervised._supervisor.report("recorder", "it crashed", generation=1)
    assert acts == ["start", "start"]
    kill_server(manager)
    with manager.lease() as database:
        assert count(database) == 1
    assert acts == ["start", "start", "stop", "start"]
    manager.stop()
    assert acts[4:] == ["stop"]


def test_a_stop_after_a_death_leaves_nothing(manager):
    with manager.lease():
        pass
    directory = manager._holding.running.handle.directory
    kill_server(manager)
    manager.stop()
    assert not directory.exists()


def test_a_forked_child_restarts_nothing(manager):
    with manager.lease():
        pass
    old = postmaster_of(manager)
    child = os.fork()
    if child == 0:
        manager.stop()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with manager.lease() as database:
        assert count(database) == 1
    assert postmaster_of(manager) == old


def test_a_lease_that_could_not_be_opened_at_first_is_opened_for_the_next_test(
    manager, monkeypatch
):
    refusals = [OSError(errno.EMFILE, "Too many open files")]
    opens = LeaseConnection.open

    def open_late(*words, **named):
        if refusals:
            raise refusals.pop()
        return opens(*words, **named)

    monkeypatch.setattr(LeaseConnection, "open", open_late)
    # Whether the first test needs the lease before it was tried again is up to the thread that opens it.
    with suppress(SystemLimit), manager.lease(isolation="readonly"):
        pass
    assert refusals == []
    with manager.lease(isolation="readonly") as database:
        assert count(database) == 1
