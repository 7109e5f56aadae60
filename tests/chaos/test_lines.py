"""Three lines of clean-up, each proven where the other two cannot help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psycopg
import pytest
from chaos.ground import settled

GONE_SECONDS = 10.0
OWN = """
import json, os, sys, time
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.keeper import spawner
spawner.IDLE_SECONDS = 0.05
databases = {"main": {"name": "shop_test", "migrations": ["schema.sql"], "seed": ["seed.sql"]}}
more = {"server": os.environ["CHAOS_SERVER"], "allow_create": True} if "CHAOS_SERVER" in os.environ else {}
manager = DatabaseManager(Settings(linger=0, databases=databases, **more))
database = manager.acquire(isolation="clone")
print(json.dumps({"name": database.name}), flush=True)
for line in sys.stdin:
    exec(line)
    print("{}", flush=True)
"""


class Owner:
    """A process that holds a database and does what it is told."""

    def __init__(self, ground, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN],
            cwd=ground.project,
            env=ground.whole_environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = self._answer()["name"]

    def do(self, statement):
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        return json.loads(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(make_ground):
    owners = []

    def start(ground=None, **environment):
        ground = ground or make_ground()
        owners.append(Owner(ground, **environment))
        return ground, owners[-1]

    yield start
    for owner in owners:
        owner.close()


def keepers(ground):
    from chaos.ground import eyes

    return [
        int(name.split()[1])
        for name, detail in ground.processes().items()
        if eyes().KEEPER.search(detail)
    ]


def databases_of(url):
    with psycopg.connect(url) as connection:
        return {
            name
            for (name,) in connection.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^shop_test(_[0-9]+)?$'"
            )
        }


def test_finalizers_alone(start):
    """The owner lives on, so no keeper sees its end; nobody starts again, so nothing is swept."""
    ground, owner = start()
    assert ground.servers_left()
    owner.do("manager.stop()")
    assert ground.servers_left() == []
    assert ground.processes(keepers=False).keys() == {
        name for name in ground.processes() if name.split()[1] == str(owner.process.pid)
    }


def test_the_keeper_alone(start):
    """Killed, the owner finalizes nothing; nobody starts again."""
    ground, owner = start()
    owner.kill()
    assert settled(ground.left, GONE_SECONDS) == []


def test_the_sweep_alone(start, nursery):
    """Owner and keeper are killed at once, so only the next start is left."""
    ground, owner = start()
    for pid in [*keepers(ground), owner.process.pid]:
        os.kill(pid, signal.SIGKILL)
    owner.process.wait()
    # Whether the server itself still runs then is not always so; its place is there in any case.
    assert ground.servers_left()
    assert "told" in nursery.run(ground, "use")
    assert settled(ground.left, GONE_SECONDS) == []


def test_on_somebody_elses_server_finalizers_alone(start, foreign_url):
    _, owner = start(CHAOS_SERVER=foreign_url)
    assert owner.name in databases_of(foreign_url)
    owner.do("manager.stop()")
    assert databases_of(foreign_url) == set()


def test_on_somebody_elses_server_the_sweep_alone(start, foreign_url, nursery):
    """There is no keeper there, and a killed owner finalizes nothing."""
    ground, owner = start(CHAOS_SERVER=foreign_url)
    owner.kill()
    assert owner.name in databases_of(foreign_url)
    again = nursery.run(ground, "foreign", CHAOS_SERVER=foreign_url)
    assert again["told"]["left"] == [], again
    assert databases_of(foreign_url) == set()
