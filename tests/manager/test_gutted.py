"""A server whose files were removed under it, by a cleaner of temporary directories or by mistake: it lives, and is of no use."""

from __future__ import annotations

import os
import shutil
import signal

import psycopg
import pytest

from freshpg import handle
from freshpg.core.errors import ServerDied

CUSTOMERS = "SELECT count(*) FROM customer"


def remove_data(server):
    shutil.rmtree(server.data, ignore_errors=True)


def remove_socket(server):
    for path in server.sockets.iterdir():
        path.unlink()


def server_of(manager):
    return manager._holding.running.handle


def answers(database):
    with database.connect() as connection:
        return connection.execute(CUSTOMERS).fetchone() == (1,)


@pytest.mark.parametrize("remove", [remove_data, remove_socket])
@pytest.mark.parametrize("level", ["readonly", "reset", "clone"])
def test_it_costs_one_lease_at_most_and_the_next_comes_from_a_new_server(manager, level, remove):
    with manager.lease(isolation=level):
        pass
    old, told = server_of(manager), []
    remove(old)

    for _ in range(2):
        try:
            with manager.lease(isolation=level) as database:
                assert answers(database)
        except ServerDied as error:
            told.append(error)

    assert len(told) <= 1
    assert server_of(manager).pid != old.pid


@pytest.mark.parametrize("remove", [remove_data, remove_socket])
def test_whoever_is_the_first_to_see_it_is_told_what_was_gone(manager, remove):
    with manager.lease(isolation="readonly"):
        pass
    old = server_of(manager)
    remove(old)

    with pytest.raises(ServerDied) as caught, manager.lease(isolation="readonly") as database:
        answers(database)

    assert "freshpg ended it: " in caught.value.seen
    assert str(old.directory) in caught.value.seen
    with manager.lease(isolation="readonly") as database:
        assert answers(database)


def test_a_failure_on_a_server_that_is_whole_ends_nothing(manager):
    with pytest.raises(psycopg.errors.DivisionByZero), manager.lease() as database:
        database.connect().execute("SELECT 1 / 0")

    assert server_of(manager).missing == ""
    assert not manager._holding.has_died


def test_a_server_that_was_stopped_keeps_nobody_waiting_for_ever(manager, monkeypatch):
    monkeypatch.setattr(handle, "CONNECT_SECONDS", 2)
    with manager.lease() as database:
        os.kill(server_of(manager).pid, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                database.connect()
        finally:
            os.kill(server_of(manager).pid, signal.SIGCONT)
        assert answers(database)
