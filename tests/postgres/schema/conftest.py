import pytest
from postgres_server import server

from freshpg.postgres.admin import Admin
from freshpg.postgres.schema.reader import read_schema

__all__ = ["server"]


@pytest.fixture
def inside(server):
    """A control connection in a transaction that is rolled back: whatever a test makes is gone."""
    with Admin.connect(server, application_name="freshpg tests") as connection:
        connection.execute("BEGIN")
        yield connection


@pytest.fixture
def schema_of(inside):
    """Run some DDL and return the schema that is read then."""

    def make(ddl):
        inside.execute(ddl)
        return read_schema(inside)

    return make
