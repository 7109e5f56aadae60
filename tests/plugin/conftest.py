"""A user's suite in a directory of its own, run by pytest with the plugin on a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from postgres_server import admin, server

# Imported here so that runs inside this process find them imported: psycopg's C part loads once a process.
import freshpg.manager  # noqa: F401
from freshpg.kept import KeptList

__all__ = ["admin", "server"]

SCHEMA = """
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
INSERT INTO item (name) VALUES ('seeded');
"""
SETTINGS = """
[databases.main]
name = "shop_test"
migrations = ["schema.sql"]
"""
TENANT_SETTINGS = """
[databases.main]
name = "app_test"
migrations = ["system.sql"]

[databases.tenant]
name = "ws_test"
migrations = ["schema.sql"]
"""
SYSTEM = "CREATE TABLE workspace (name text PRIMARY KEY);"
NEIGHBOURS = ("django", "pytest_postgresql", "randomly", "cacheprovider", "hypothesispytest")


class Suite:
    """The files of a user's project, and ways to run its tests."""

    def __init__(self, pytester):
        self._pytester = pytester
        self.path = pytester.path
        self.write("freshpg.toml", SETTINGS)
        self.write("schema.sql", SCHEMA)

    def write(self, name, text):
        """Write a file of the project."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tests(self, text, name="test_it.py"):
        """Write a module of tests."""
        return self.write(name, f"import pytest\n{text}")

    def run(self, *words):
        """Run pytest inside this process: fast."""
        return Outcome(self._pytester.inline_run_words(words))

    def run_apart(self, *words, neighbours=NEIGHBOURS):
        """Run pytest in a process of its own."""
        return Outcome(self._pytester.runpytest_subprocess(*_words(words, neighbours)))

    def start_apart(self, *words):
        """Start pytest in a process group of its own and return it."""
        command = [sys.executable, "-m", "pytest", *_words(words, NEIGHBOURS)]
        return subprocess.Popen(
            command,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kept(self):
        """Databases kept for inspection."""
        return KeptList(self.path / ".freshpg").all()


class Outcome:
    """What a run printed and how it ended."""

    def __init__(self, result):
        self.text = "\n".join((*result.outlines, *result.errlines))
        self.exit_code = int(result.ret)
        self.counts = result.parseoutcomes() if re.search(r" in [\d.]+s", self.text) else {}

    @property
    def handed_out(self):
        """How many databases the summary line counts."""
        found = re.search(r"freshpg: (\d+) databases? handed out", self.text)
        return int(found[1]) if found else 0


def _words(words, neighbours):
    plugins = [part for name in neighbours for part in ("-p", f"no:{name}")]
    loop = ("-o", "asyncio_default_fixture_loop_scope=function")
    return (*plugins, *loop, "-W", "error", *words)


@pytest.fixture
def suite(pytester, monkeypatch):
    """A user's project; servers end with their run."""
    for name in os.environ:
        if name.startswith(("PYTEST_", "PG")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    pytester.inline_run_words = lambda words: pytester.runpytest_inprocess(
        *_words(words, NEIGHBOURS)
    )
    return Suite(pytester)


@pytest.fixture
def tenants(suite):
    """A user's project with a system database and workspaces."""
    suite.write("freshpg.toml", TENANT_SETTINGS)
    suite.write("system.sql", SYSTEM)
    return suite


@pytest.fixture
def held():
    """``pytest.held``: connections that tests forget, closed before anybody wonders whose they were."""
    pytest.held = []
    yield
    for connection in pytest.held:
        connection.close()


@pytest.fixture
def kept_servers_end():
    """End the servers that stay up for kept databases, with the test."""
    yield
    from freshpg.servers import storage
    from freshpg.servers.keeper.client import Keeper

    with Keeper.connect(storage.keeper_root(), roots=storage.runtime_roots()) as keeper:
        keeper.stop_all(force=True)


@pytest.fixture
def running():
    """Names of what runs or lies in the runtime directory now; empty when nothing was started."""

    def look():
        root = Path(os.environ["FRESHPG_RUNTIME"])
        places = root.glob("freshpg-*")
        return sorted(
            str(entry.relative_to(root))
            for place in places
            for shelf in _entries(place)
            for entry in (_entries(shelf) if shelf.is_dir() else [shelf] * shelf.is_socket())
        )

    return look


def _entries(directory):
    """What lies in it; nothing when the keeper is removing it just now."""
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


@pytest.fixture
def until_gone(running):
    """Wait for the keeper to remove everything and itself; return what is left when it does not."""

    def wait(seconds=5.0):
        never, end = threading.Event(), time.monotonic() + seconds
        while running() and time.monotonic() < end:
            never.wait(0.01)
        return running()

    return wait


@pytest.fixture
def look_into():
    """Return rows of a kept database."""

    def rows(kept, statement):
        with psycopg.connect(
            host=kept.host, port=kept.port, user=kept.user, dbname=kept.name
        ) as connection:
            return connection.execute(statement).fetchall()

    return rows


@pytest.fixture
def kill_group():
    """End a process group that a test started, whatever became of the test."""
    started = []
    yield started.append
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
