"""One project with a system database and workspaces, on one server that all tests of this folder share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from postgres_server import running_server

from freshpg.core.settings import Settings
from freshpg.leases.coordination import ensure_coordination
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin
from freshpg.tenants.testing import TestTenantPools

SYSTEM = "CREATE TABLE workspace (name text PRIMARY KEY);"
WORKSPACE = """
CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
INSERT INTO note (body) VALUES ('welcome');
"""
DATABASES = {
    "main": {"name": "app_test", "migrations": ["system.sql"]},
    "tenant": {"name": "ws_test", "migrations": ["workspace.sql"]},
}


@pytest.fixture(scope="session")
def tenants_ground():
    """Yield a project's directory in memory."""
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="fpgtt-", dir=memory if memory.is_dir() else None))
    place.chmod(0o711)
    (place / "run").mkdir(mode=0o711)
    (place / "system.sql").write_text(SYSTEM)
    (place / "workspace.sql").write_text(WORKSPACE)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(autouse=True)
def _on_the_ground(tenants_ground, monkeypatch):
    """Other folders see to it that nothing runs in the worker's own place."""
    monkeypatch.setenv("FRESHPG_RUNTIME", str(tenants_ground / "run"))


@pytest.fixture(scope="session")
def manager(tenants_ground):
    """The project's manager, on a server of ours."""
    made = DatabaseManager(Settings(root=tenants_ground, linger=0, databases=DATABASES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRESHPG_RUNTIME", str(tenants_ground / "run"))
        made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def foreign():
    """The address of a server that is not ours."""
    with running_server() as conninfo:
        with Admin.connect(conninfo) as admin:
            admin.execute("CREATE ROLE maker LOGIN CREATEDB CREATEROLE")
        # Made by the weaker role: what a superuser made, it could not use.
        ensure_coordination(conninfo.with_(user="maker"))
        yield conninfo.with_(dbname="postgres")


@pytest.fixture
def foreign_settings(foreign, tenants_ground):
    """Settings of the project on that server."""
    url = foreign.with_(user="maker").url()
    return Settings(root=tenants_ground, server=url, allow_create=True, databases=DATABASES)


@pytest.fixture
def names_of():
    """Return the databases on a manager's server, or at an address."""

    def names(where):
        address = where._holding.running.coordination if hasattr(where, "_holding") else where
        with Admin.connect(address) as admin:
            return {name for (name,) in admin.rows("SELECT datname FROM pg_database")}

    return names


@pytest.fixture
def make_pools(manager):
    """Return a maker of pools for this test; those still open are closed at its end."""
    made = []

    def make(**options):
        options.setdefault("test", "this test")
        made.append(TestTenantPools(manager, **options))
        return made[-1]

    yield make
    for pools in made:
        pools.end()


@pytest.fixture
def pools(make_pools):
    return make_pools()
