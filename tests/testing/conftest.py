"""One manager for the folder; its servers live on a ground of their own."""

import os
from pathlib import Path

import pytest

from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

SCHEMA = """
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
INSERT INTO item (name) VALUES ('seeded');
"""


@pytest.fixture(scope="session")
def ground():
    place = Path(os.environ["FRESHPG_RUNTIME"]) / "testing"
    place.mkdir(mode=0o711, exist_ok=True)
    return place


@pytest.fixture(autouse=True)
def _on_the_ground(ground, monkeypatch):
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))


@pytest.fixture(scope="session")
def manager(ground, tmp_path_factory):
    place = tmp_path_factory.mktemp("testing")
    (place / "schema.sql").write_text(SCHEMA)
    databases = {"main": {"name": "testing_test", "migrations": ["schema.sql"]}}
    made = DatabaseManager(Settings(root=place, databases=databases, linger=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRESHPG_RUNTIME", str(ground))
        made.start()
    yield made
    made.stop()


@pytest.fixture
def db(manager):
    with manager.lease("main", isolation="reset") as database:
        yield database
