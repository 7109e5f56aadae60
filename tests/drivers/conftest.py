"""One manager for the folder, whose leases are what the tests are about."""

import os
from pathlib import Path

import psycopg
import pytest

from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

SCHEMA = """
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE part (
    id int PRIMARY KEY,
    item bigint REFERENCES item DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO item (name) VALUES ('seeded');
"""


def make_manager(place):
    (place / "schema.sql").write_text(SCHEMA)
    databases = {"main": {"name": "drivers_test", "migrations": ["schema.sql"]}}
    return DatabaseManager(Settings(root=place, databases=databases, linger=0))


@pytest.fixture(scope="session")
def ground():
    """Where the folder's servers live: other folders see to it that nothing runs in the worker's own place."""
    place = Path(os.environ["FRESHPG_RUNTIME"]) / "drivers"
    place.mkdir(mode=0o711, exist_ok=True)
    return place


@pytest.fixture(autouse=True)
def _on_the_ground(ground, monkeypatch):
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))


@pytest.fixture(scope="session")
def manager(ground, tmp_path_factory):
    made = make_manager(tmp_path_factory.mktemp("drivers"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRESHPG_RUNTIME", str(ground))
        made.start()
    yield made
    made.stop()


@pytest.fixture
def own_manager(tmp_path):
    """A manager that a test may stop."""
    manager = make_manager(tmp_path)
    yield manager
    manager.stop()


@pytest.fixture
def db(manager, request):
    """A database at the level that the test's parameter or marker says."""
    level = getattr(request, "param", "reset")
    with manager.lease("main", isolation=level) as database:
        yield database


@pytest.fixture
def rows_for_others():
    """What a connection that has nothing to do with the test sees."""

    def rows(database):
        with psycopg.connect(**database.conninfo.keywords()) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM item ORDER BY id")]

    return rows


@pytest.fixture
def sessions_in():
    """Processes of the other sessions in a database, but those of freshpg itself."""

    def sessions(database):
        with psycopg.connect(**database.conninfo.keywords()) as connection:
            return {
                pid
                for (pid,) in connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'freshpg%'"
                )
            }

    return sessions
