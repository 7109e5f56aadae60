"""From one run to the next on a warm server: what is handed on, and what could not have been touched."""

from __future__ import annotations

import psycopg
import pytest

from freshpg.core.clock import Deadline
from freshpg.servers.keeper.client import Keeper
from freshpg.servers.storage import keeper_root

OWN = {"settings": {"application_name": "warm"}}
"""An image of its own: other tests leave warm servers too."""


@pytest.fixture
def run(make_manager):
    """Start a run that leaves its server warm; the last run takes that one over and ends it."""
    runs = []

    def run(**changes):
        manager = make_manager(linger=60, isolation="clone", **OWN, **changes)
        runs.append(manager)
        manager.start()
        return manager

    yield run
    for manager in runs:
        manager.stop()
    last = make_manager(linger=0, **OWN)
    last.start()
    last.stop()


def stocked(manager):
    """Wait until a clone stands ready, and return the oid of each by name."""
    stock = manager._holding.arena(manager.blueprints["main"])._stocked()
    end = Deadline(20.0)
    while stock.ready < 2:
        assert not end.expired
    with manager._holding.lease.borrow() as admin:
        return dict(
            admin.rows(
                "SELECT datname, oid FROM pg_database WHERE datname LIKE 'shop%%' AND NOT datistemplate"
            )
        )


def oid(database):
    with database.connect() as connection:
        return connection.execute(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        ).fetchone()[0]


def stop_and_see(manager):
    """Stop a manager and return which clones its server, idle now, has to hand on."""
    server_id = manager.server_id
    manager.stop()
    with Keeper.connect(keeper_root()) as keeper:
        (found,) = [server for server in keeper.servers() if server.id == server_id]
    return found.left["fresh"]["names"]


def test_clones_nobody_used_are_handed_on_without_a_question(run):
    first = run()
    with first.lease():
        before = stocked(first)
    first.stop()
    second = run()
    with second.lease() as database:
        assert second.server.how == "warm"
        assert database.name == "shop_test"
        assert oid(database) in before.values()


def test_what_a_test_left_running_cannot_enter_between_runs(run):
    first = run()
    database = first.acquire()
    address = database.conninfo.keywords()
    stocked(first)
    leaked = psycopg.connect(**{**address, "dbname": "postgres"}, autocommit=True)
    first.stop()
    with leaked, pytest.raises(psycopg.OperationalError):
        leaked.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="No such file"):
        psycopg.connect(**address)
    with run().lease() as again, again.connect() as connection:
        assert connection.execute("SELECT name FROM customer").fetchall() == [("Ada",)]


def test_a_clone_that_somebody_else_entered_is_not_handed_on(run):
    first = run()
    assert set(stocked(first)) == {"shop_test", "shop_test_2"}
    address = first._holding.running.tests(superuser=False).with_(dbname="shop_test")
    with psycopg.connect(**address.keywords(), autocommit=True) as inside:
        inside.execute("INSERT INTO customer (name) VALUES ('Mallory')")
        assert stop_and_see(first) == {"shop_test": ["shop_test_2"]}
    second = run()
    for _ in range(2):
        with second.acquire().connect() as connection:
            assert connection.execute("SELECT name FROM customer").fetchall() == [("Ada",)]


def test_clones_of_a_blueprint_that_one_run_did_not_use_are_handed_on_to_the_one_after(
    make_manager,
):
    both = {
        name: {"name": f"{name}_test", "migrations": ["schema.sql"]} for name in ("shop", "stock")
    }
    first = make_manager(linger=60, isolation="clone", databases=both)
    with first.lease("shop"):
        pass
    assert stop_and_see(first)["stock_test"] == ["stock_test"]
    last = make_manager(linger=0, isolation="clone", databases=both)
    with last.lease("stock") as database, database.connect() as connection:
        assert connection.execute("SELECT name FROM customer").fetchall() == [("Ada",)]


def test_the_lease_of_a_warm_server_shows_soon_who_uses_it(run):
    run().stop()
    manager = run()
    with manager.lease(test="tests/test_cart.py::test_pay") as database:
        found = manager._holding.lease
        assert database.name in {slot.name for slot in found.held}
        with database.connect() as connection:
            query = "SELECT query FROM pg_stat_activity WHERE pid = %s"
            assert "test_pay" in _seen(manager, query, found.backend)
            assert connection.execute("SELECT 1").fetchone() == (1,)


def _seen(manager, query, backend):
    with manager._holding.running.admin() as admin:
        return admin.value(query, (backend,))


def test_a_lease_whose_session_was_ended_is_there_for_the_next_who_needs_it(run):
    run().stop()
    manager = run()
    with manager.lease():
        ended = manager._holding.lease.backend
        with manager._holding.running.admin() as admin:
            admin.value("SELECT pg_terminate_backend(%s, 10000)", (ended,))
    with manager.lease() as database:
        assert oid(database)
        lease = manager._holding.lease
        assert (lease.alive, lease.backend != ended) == (True, True)
