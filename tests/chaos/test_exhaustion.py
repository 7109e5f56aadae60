"""What runs out, stands still or jumps: a typed error where there must be one, and work again afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from chaos.ground import settled
from chaos.scenarios import customers
from chaos.test_lines import databases_of, start
from postgres_server import running_server

from freshpg.core.clock import SystemClock
from freshpg.core.errors import SystemLimit, TooManyConnections
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.keeper import identity
from freshpg.servers.keeper.client import Keeper

__all__ = ["start"]

DATABASES = {"main": {"name": "shop_test", "migrations": ["schema.sql"], "seed": ["seed.sql"]}}
DESCRIPTORS = """
import json, os, resource, sys
import psycopg
from freshpg.core.errors import FreshpgError
from chaos.scenarios import manager_of
from freshpg.servers.keeper import spawner
import freshpg.provision.own, freshpg.arena, freshpg.holding
spawner.IDLE_SECONDS = 0.05

def use():
    with manager_of() as manager, manager.lease(isolation="clone") as database:
        try:
            with database.connect() as connection:
                connection.execute("SELECT count(*) FROM customer")
        except (psycopg.OperationalError, OSError):
            return "the test's own connection"
    return "told"

assert use() == "told"
held = len(os.listdir("/proc/self/fd")) - 1
told = []
for more in (*range(1, 13), *range(1, 5)):
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + more, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        told.append(use())
    except FreshpgError as error:
        told.append(type(error).__name__)
    except BaseException as error:
        told.append(f"raw {error!r}")
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
told.append(use())
print(json.dumps(told))
"""


@pytest.mark.chaos
@pytest.mark.timeout(150)
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_descriptors_run_out_at_every_moment_of_a_start(make_ground):
    ground = make_ground()
    done = subprocess.run(
        [sys.executable, "-c", DESCRIPTORS],
        cwd=ground.project,
        env=ground.whole_environment(),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *starved, again = json.loads(done.stdout)
    # A test's own connection fails as psycopg has it fail; all that freshpg does is named.
    assert set(starved) - {"the test's own connection"} == {"SystemLimit", "told"}, starved
    assert again == "told"
    assert settled(ground.left, 10) == []


@contextmanager
def only_descriptors(free):
    """Leave so many; a soft limit alone would count those below it that are closed."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            duplicate_without_end(taken)
        for _ in range(free):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


def duplicate_without_end(taken):
    while True:
        taken.append(os.dup(2))


@pytest.mark.parametrize("free", range(4))
def test_a_keeper_without_descriptors_is_refused_by_name_and_keeps_none(tmp_path, free):
    before = set(Path("/dev/fd").iterdir())
    with only_descriptors(free), pytest.raises((SystemLimit, OSError)) as refused:
        Keeper.spawn_async(tmp_path / "root")
    # A bare one is named by whoever starts all this.
    assert isinstance(refused.value, SystemLimit) or refused.value.errno == errno.EMFILE
    assert set(Path("/dev/fd").iterdir()) == before


@pytest.fixture(scope="module")
def narrow_url():
    """A server with room for a dozen sessions, whoever asks."""
    with running_server(max_connections="12", superuser_reserved_connections="0") as conninfo:
        yield conninfo.url()


@pytest.fixture
def manager_there(make_ground, monkeypatch, narrow_url):
    ground = make_ground()
    for name, value in ground.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        root=ground.project, databases=DATABASES, server=narrow_url, allow_create=True
    )
    return lambda: DatabaseManager(settings)


@contextmanager
def all_connections_taken(url):
    with ExitStack() as stack:
        taken = []
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            take_connections(url, stack, taken)
        yield taken


def take_connections(url, stack, taken):
    while True:
        taken.append(stack.enter_context(psycopg.connect(url, autocommit=True)))


def give_one_back(taken):
    """Close one and wait until the server knows."""
    gone = taken.pop()
    pid = gone.info.backend_pid
    gone.close()
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    assert not settled(lambda: taken[0].execute(query, (pid,)).fetchone()[0], 10)


@pytest.mark.chaos
def test_a_start_on_a_full_server_is_refused_by_name_and_works_once_there_is_room(
    manager_there, narrow_url
):
    with all_connections_taken(narrow_url), pytest.raises(TooManyConnections) as refused:
        manager_there().start()
    assert refused.value.code == "FPG-S11"
    assert "max_connections" in str(refused.value)
    with manager_there() as manager, manager.lease(isolation="clone") as database:
        assert customers(database) == 1
    assert databases_of(narrow_url) == set()


@pytest.mark.chaos
@pytest.mark.parametrize("level", ["reset", "readonly"])
def test_a_server_that_fills_up_in_mid_run_goes_on_with_the_first_free_connection(
    manager_there, narrow_url, level
):
    with manager_there() as manager:
        with manager.lease(isolation="rollback"):
            pass
        with all_connections_taken(narrow_url) as taken:
            with pytest.raises(TooManyConnections):
                manager.acquire(isolation=level)
            give_one_back(taken)
            with manager.lease(isolation=level) as database:
                with pytest.raises(psycopg.OperationalError, match="too many clients"):
                    database.connect()
                give_one_back(taken)
                assert customers(database) == 1
    assert databases_of(narrow_url) == set()


@pytest.mark.chaos
def test_a_stopped_holder_keeps_its_database_and_goes_on(start, foreign_url, nursery):
    """No heartbeat, no time to live: a debugger or a suspended laptop loses nothing."""
    ground, owner = start(CHAOS_SERVER=foreign_url)
    os.kill(owner.process.pid, signal.SIGSTOP)
    other = nursery.run(ground, "foreign", CHAOS_SERVER=foreign_url)
    assert "told" in other, other
    assert owner.name in databases_of(foreign_url)
    os.kill(owner.process.pid, signal.SIGCONT)
    owner.do("database.connect().execute('SELECT count(*) FROM customer')")
    owner.do("manager.stop()")
    assert databases_of(foreign_url) == set()


@pytest.mark.chaos
def test_a_stopped_holder_keeps_its_server(start, nursery):
    ground, owner = start()
    held = ground.servers_left()
    os.kill(owner.process.pid, signal.SIGSTOP)
    assert "told" in nursery.run(ground, "use")
    assert set(held) <= set(ground.servers_left())
    os.kill(owner.process.pid, signal.SIGCONT)
    owner.do("database.connect().execute('SELECT count(*) FROM customer')")
    owner.kill()
    assert settled(ground.left, 10) == []


class Jumping(SystemClock):
    """A wall clock that somebody sets a day on, and then two days back, at each look."""

    def __init__(self):
        self.jumps = 0

    def time(self):
        self.jumps += 1
        return time.time() + (86400.0 if self.jumps % 2 else -86400.0)


def test_a_clock_that_jumps_ends_no_lease_and_loses_no_image(make_ground, monkeypatch):
    ground = make_ground()
    for name, value in ground.environment.items():
        monkeypatch.setenv(name, value)
    clock = Jumping()
    for _ in range(2):
        settings = Settings(root=ground.project, linger=0, databases=DATABASES)
        with DatabaseManager(settings, clock=clock) as manager:
            for level in ("clone", "reset", "reset"):
                with manager.lease(isolation=level) as database, database.connect() as connection:
                    assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
            assert manager.server.how == "image"
    assert clock.jumps


def test_a_zombie_is_dead():
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        stat = Path(f"/proc/{child}/stat")
        if stat.exists():
            assert not settled(lambda: stat.read_text().rpartition(")")[2].split()[0] != "Z", 10)
        assert identity.start_token(child) == ""
        assert not identity.is_alive(child, "1")
    finally:
        os.waitpid(child, 0)


def test_a_pid_that_was_given_away_again_is_somebody_else():
    mine = identity.start_token(os.getpid())
    assert identity.is_alive(os.getpid(), mine)
    assert not identity.is_alive(os.getpid(), str(int(mine) - 1) if mine.isdigit() else "then")


@pytest.mark.parametrize("name", ["start", "acquire"])
def test_a_thread_that_the_system_refuses_is_named(make_ground, monkeypatch, name):
    ground = make_ground()
    for variable, value in ground.environment.items():
        monkeypatch.setenv(variable, value)
    settings = Settings(root=ground.project, linger=0, databases=DATABASES)
    with DatabaseManager(settings) if name == "acquire" else nullcontext() as running:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(SystemLimit) as refused:
            running.acquire(isolation="clone") if running else DatabaseManager(settings).start()
        monkeypatch.undo()
    assert refused.value.code == "FPG-S18"
    assert settled(ground.left, 10) == []


def refuse(_thread):
    raise RuntimeError("can't start new thread")
