from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

import pytest
from building_process import BuilderProcess

from freshpg.core.clock import Deadline
from freshpg.postgres.databases import Databases
from freshpg.templates.leftovers import sweep_unfinished

PROCESSES = 24


@pytest.fixture(scope="module", autouse=True)
def helpers_of_multiprocessing():
    """Start what Python starts with the first process of that kind, and keeps: it is no test's."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@contextmanager
def builders(count, server, root):
    processes = [BuilderProcess(server, root, "a.sql") for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def wait_for(admin, query, seconds=10):
    """Ask until the answer is true; the pause is given by the server."""
    limit = Deadline(seconds)
    while not admin.value(query):
        assert not limit.expired, query
        admin.execute("SELECT pg_sleep(0.005)")


def made(admin):
    rows = admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1")
    return [name for (name,) in rows]


def test_many_processes_build_a_template_once(admin, server, tmp_path):
    (tmp_path / "a.sql").write_text("CREATE TABLE a (id int);")
    with builders(PROCESSES, server, tmp_path) as processes:
        for process in processes:
            process.go()
        found = [process.result() for process in processes]
    assert sorted(how for _, how in found) == ["built"] + ["reused"] * (PROCESSES - 1)
    assert made(admin) == [found[0][0]]


SLEEPING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'shop_test_building%'"
    " AND wait_event = 'PgSleep')"
)
WAITING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE application_name = 'freshpg builder under test' AND wait_event_type = 'Lock')"
)


@pytest.fixture
def first_one_hangs(admin, tmp_path):
    """A migration that sleeps as long as a role exists; returns what lets the next ones pass."""
    admin.execute("CREATE ROLE slow")
    (tmp_path / "a.sql").write_text(
        "SELECT pg_sleep(50) FROM pg_roles WHERE rolname = 'slow';\nCREATE TABLE a (id int);\n"
    )
    yield lambda: admin.execute("DROP ROLE slow")
    admin.execute("DROP ROLE IF EXISTS slow")


def test_a_waiter_takes_over_from_a_killed_builder(admin, server, tmp_path, first_one_hangs):
    with builders(2, server, tmp_path) as (first, second):
        first.go()
        wait_for(admin, SLEEPING)
        first_one_hangs()
        (left,) = made(admin)
        second.go()
        wait_for(admin, WAITING)
        first.kill()
        name, how = second.result()
    assert how == "built"
    assert made(admin) == [name]
    assert name != left


def test_the_leftovers_of_a_killed_builder_are_swept(admin, server, tmp_path, first_one_hangs):
    databases = Databases(admin)
    with builders(1, server, tmp_path) as (only,):
        only.go()
        wait_for(admin, SLEEPING)
        assert sweep_unfinished(databases) == [], "its builder lives"
        left = made(admin)
        only.kill()
        wait_for(admin, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
    assert sweep_unfinished(databases) == left
    assert made(admin) == []
