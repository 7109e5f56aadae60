"""Somebody else's server goes away and comes back: the run goes on with it, and every worker knows when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_server import pg_ctl, running_server

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import EmergencyMode, LeaseLost, ServerError
from freshpg.core.events import ChildRestarted


class SomebodysServer:
    """A server that is not ours, ended and started again by its owner."""

    def __init__(self, address):
        self.address = address

    def kill(self):
        """End it as a crash would, and return when all its processes have gone."""
        pg_ctl(self.address, "-m", "immediate", "stop")

    def start(self):
        pg_ctl(self.address, "-l", str(Path(self.address.host, "log")), "start")


@pytest.fixture(scope="module")
def theirs():
    with running_server() as address:
        yield SomebodysServer(address)


@pytest.fixture
def make_foreign(make_manager, theirs):
    return lambda: make_manager(server=theirs.address.url(), allow_create=True)


def count(database):
    with database.connect() as connection:
        return connection.execute("SELECT count(*) FROM customer").fetchone()[0]


def wait_until(condition, seconds=30.0):
    limit = Deadline(seconds)
    while not condition():
        assert not limit.expired, "it did not come to pass"
        SYSTEM_CLOCK.sleep(0.001)


def test_a_server_that_was_started_again_is_used_again(make_foreign, theirs):
    manager = make_foreign()
    with manager.lease() as database:
        assert count(database) == 1
    theirs.kill()
    theirs.start()
    for level in ("reset", "clone", "readonly", "rollback"):
        with manager.lease(isolation=level) as database:
            assert count(database) == 1


def test_whoever_had_a_database_there_is_told(make_foreign, theirs):
    manager = make_foreign()
    database = manager.acquire()
    theirs.kill()
    theirs.start()
    wait_until(lambda: manager.lost(database))
    with pytest.raises(LeaseLost) as caught:
        manager.release(database)
    assert caught.value.origin == "infrastructure"
    assert database.name in caught.value.on


def test_a_lease_whose_session_was_ended_is_replaced_with_all_that_hung_on_it(make_foreign):
    manager = make_foreign()
    events = []
    manager.events.subscribe(events.append)
    database = manager.acquire()
    old = manager._holding
    with old.running.admin() as admin:
        admin.value("SELECT pg_terminate_backend(%s)", (old.lease.backend,))
    wait_until(
        lambda: any(
            isinstance(event, ChildRestarted) and event.child == "server" for event in events
        )
    )
    assert manager._holding is not old
    assert manager._holding.lease.alive
    with manager.lease() as another:
        assert count(another) == 1
    with pytest.raises(LeaseLost):
        manager.release(database)


@pytest.mark.slow
def test_while_it_is_down_workers_stop_asking_together_and_go_on_together(make_foreign, theirs):
    workers = [make_foreign() for _ in range(2)]
    for worker in workers:
        with worker.lease():
            pass
    state = workers[0].state_directory
    theirs.kill()
    try:
        seen = []
        limit = Deadline(40)
        while not any(isinstance(error, EmergencyMode) for error in seen):
            assert not limit.expired
            for worker in workers:
                with pytest.raises(ServerError) as caught:
                    worker.acquire()
                seen.append(caught.value)
        for worker in workers:
            with pytest.raises(EmergencyMode) as caught:
                worker.acquire()
            assert (
                "cannot be reached" in caught.value.because or "went away" in caught.value.because
            )
            assert 0 < caught.value.retry_in <= 5
        assert {error.origin for error in seen} == {"infrastructure"}
    finally:
        theirs.start()
    limit = Deadline(30)
    waiting = set(range(len(workers)))
    while waiting:
        assert not limit.expired
        for number in tuple(waiting):
            try:
                with workers[number].lease() as database:
                    assert count(database) == 1
                waiting.discard(number)
            except EmergencyMode as error:
                SYSTEM_CLOCK.sleep(min(error.retry_in, 0.5))
    for worker in workers:
        worker.stop()
    assert not list(state.glob("breaker-*")) if state.exists() else True
