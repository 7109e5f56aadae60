"""One server with workspaces for all tests of tenant pools, and pools that prove at the end that nothing is left."""

import pytest
from postgres_server import server
from tenants_world import Ground, rough_ground

from freshpg.postgres.admin import Admin
from freshpg.tenants import TenantLimits

__all__ = ["server"]


@pytest.fixture(scope="session")
def ground(server):
    return Ground(server)


@pytest.fixture(scope="session")
def rough():
    """A server of its own that tests stop and start."""
    with rough_ground() as ground:
        yield ground


@pytest.fixture
def own_databases(ground):
    """Drop what the test makes and leaves."""
    with Admin.connect(ground.conninfo) as admin:
        before = {name for (name,) in admin.rows("SELECT datname FROM pg_database")}
        yield admin
        after = {name for (name,) in admin.rows("SELECT datname FROM pg_database")}
        for name in after - before:
            quoted = name.replace('"', '""')
            admin.execute(f'DROP DATABASE "{quoted}" WITH (FORCE)')


@pytest.fixture
def limits():
    """Limits with a short wait: what a test waits for in vain, it waits for in full."""

    def make(**given):
        return TenantLimits(**({"system_connections": 2, "wait": 15.0} | given))

    return make
