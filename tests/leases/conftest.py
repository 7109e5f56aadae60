import pytest
from postgres_server import admin, server

from freshpg.core.clock import Deadline
from freshpg.leases.lease import APPLICATION, LeaseConnection
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases

__all__ = ["admin", "server"]


@pytest.fixture
def lease_connection(server):
    """Open lease connections that are closed at the end of the test."""
    opened = []

    def open_one(**options):
        opened.append(LeaseConnection.open(server, **options))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()
    # The server frees a lock some milliseconds after its holder's end; the next test wants none.
    end = Deadline(10.0)
    with Admin.connect(server) as admin:
        while admin.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
        ):
            assert not end.expired


@pytest.fixture
def databases(admin):
    return Databases(admin)
