"""A project of its own for every test; servers and cache in a private place, shared by the tests of this folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.keeper.client import Keeper

SCHEMA = """
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
"""


@pytest.fixture(scope="session")
def ground():
    """Yield a private runtime and cache root; in memory, where a socket's path is short."""
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="fpgm-", dir=memory if memory.is_dir() else None))
    place.chmod(0o711)
    yield place
    _end_servers(place)
    shutil.rmtree(place, ignore_errors=True)


def _end_servers(place):
    """End what a test left warm: once its directory is gone, nobody finds it any more."""
    root = next(place.glob("freshpg-*"), None)
    keeper = root and Keeper.find(root, roots=(root,))
    if keeper:
        with keeper:
            keeper.stop_all(force=True)


@pytest.fixture(autouse=True)
def private_places(ground, monkeypatch):
    for name in [name for name in os.environ if name.startswith("FRESHPG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))
    monkeypatch.setenv("FRESHPG_CACHE", str(ground / "cache"))
    monkeypatch.setenv("FRESHPG_SERVER", "auto")
    monkeypatch.setenv("CI", "true")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "schema.sql").write_text(SCHEMA)
    return tmp_path


@pytest.fixture
def make_manager(project):
    """Return a maker of managers of one project; all are stopped at the end."""
    made = []

    def make(*, blueprints=(), beside=(), **changes):
        changes.setdefault(
            "databases", {"main": {"name": "shop_test", "migrations": ["schema.sql"]}}
        )
        changes.setdefault("linger", 0)
        settings = Settings(root=project, **changes)
        manager = DatabaseManager(settings, blueprints=blueprints, beside=beside)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.stop()


@pytest.fixture
def manager(make_manager):
    return make_manager()
