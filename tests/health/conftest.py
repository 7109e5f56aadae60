"""One manager for the folder, and a project to change."""

import os
from pathlib import Path

import pytest

from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

DATABASES = {"main": {"name": "health_test", "migrations": ["schema.sql"]}}


@pytest.fixture(scope="session")
def ground():
    place = Path(os.environ["FRESHPG_RUNTIME"]) / "health"
    place.mkdir(mode=0o711, exist_ok=True)
    return place


@pytest.fixture(autouse=True)
def _on_the_ground(ground, monkeypatch):
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    place = tmp_path_factory.mktemp("health")
    (place / "schema.sql").write_text("CREATE TABLE item (id int PRIMARY KEY);")
    return place


@pytest.fixture
def make_manager(project):
    made = []

    def make(**changes):
        settings = {"databases": DATABASES, "linger": 0, "stock": 0, **changes}
        manager = DatabaseManager(Settings(root=project, **settings))
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.stop()


@pytest.fixture
def manager(make_manager):
    made = make_manager()
    made.start()
    return made
