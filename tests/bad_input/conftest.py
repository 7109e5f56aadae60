"""A small project that goes wrong, and proof after every test that nothing half-made is left of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from postgres_server import admin, server

from freshpg.core.clock import Deadline
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

__all__ = ["admin", "server"]

SCHEMA = """
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
"""
PATIENCE = 5.0  # seconds a keeper and its servers may take to end


def half_made(ground):
    """Everything of servers, every unfinished image and every process in our place."""
    places = [
        entry for root in ground.glob("freshpg-*/*") if root.is_dir() for entry in root.iterdir()
    ]
    drafts = (ground / "cache").rglob(".tmp-*")
    return {*places, *drafts, *(f"process {pid}" for pid in _processes(ground))}


def _processes(runtime):
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(runtime):
                yield entry.name
        except OSError:
            continue


@pytest.fixture(scope="session")
def ground(worker_id):
    """A place for servers and images of this worker alone, so that it sees only what it made."""
    place = Path(os.environ["FRESHPG_RUNTIME"]) / f"bad-{worker_id}"
    place.mkdir(mode=0o711, exist_ok=True)
    return place


@pytest.fixture(autouse=True)
def plain_environment(ground, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("FRESHPG_", "PG", "PYTEST_")) or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))
    monkeypatch.setenv("FRESHPG_CACHE", str(ground / "cache"))
    monkeypatch.setenv("CI", "true")


@pytest.fixture(autouse=True)
def nothing_half_made(ground, plain_environment):
    """Fail the test when a directory, an unfinished image or a process is there that was not before."""
    before = half_made(ground)
    yield
    limit = Deadline(PATIENCE)
    while half_made(ground) - before and not limit.expired:
        os.sched_yield()
    assert half_made(ground) - before == set()


@pytest.fixture
def project(tmp_path):
    (tmp_path / "schema.sql").write_text(SCHEMA)
    return tmp_path


@pytest.fixture
def make_manager(project, nothing_half_made):
    """Return a maker of managers of the project; all are stopped at the end."""
    made = []

    def make(*, blueprints=(), **changes):
        changes.setdefault(
            "databases", {"main": {"name": "shop_test", "migrations": ["schema.sql"]}}
        )
        changes.setdefault("linger", 0)
        manager = DatabaseManager(Settings(root=project, **changes), blueprints=blueprints)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.stop()


@pytest.fixture
def manager(make_manager):
    return make_manager()


@pytest.fixture
def assert_clean():
    """Return a check that a level hands out databases equal to their template."""

    def check(manager, level, times=3):
        for _ in range(times):
            with manager.lease(isolation=level) as database, database.connect() as connection:
                rows = connection.execute("SELECT id, name FROM customer").fetchall()
                assert rows == [(1, "Ada")]
                assert connection.execute(
                    "SELECT count(*) FROM pg_class WHERE relname LIKE 'left%'"
                ).fetchone() == (0,)

    return check
