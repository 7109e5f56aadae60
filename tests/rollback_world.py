"""A database with one of everything that a rollback test may touch, and a session in it: shared by the tests of `rollback`."""

from __future__ import annotations

import psycopg
import pytest
from postgres_server import running_server

from freshpg.core.clock import Deadline
from freshpg.isolation.rollback.session import RollbackSession
from freshpg.isolation.rollback.single import SingleConnection

SCHEMA = """
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE ticket START 100;
CREATE PROCEDURE committing() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
"""
CONTROL = "freshpg_admin"


@pytest.fixture(scope="session")
def rollback_server():
    with running_server() as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def make_database(rollback_server):
    """Make a database with the schema, owned by the tests' role; return its address."""
    number = 0

    def make():
        nonlocal number
        number += 1
        name = f"rollback_{number}"
        with psycopg.connect(**rollback_server.keywords(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER postgres")
        address = rollback_server.with_(dbname=name, user="postgres")
        with psycopg.connect(**address.keywords(), autocommit=True) as connection:
            connection.execute(SCHEMA)
        return address

    return make


@pytest.fixture(scope="session")
def address(make_database):
    return make_database()


@pytest.fixture(scope="session")
def kept_session(address):
    session = RollbackSession(address, CONTROL)
    yield session
    session.close()


@pytest.fixture
def session(kept_session):
    """The session, inside its outer transaction; nothing of a test may be left to doubt."""
    limit = Deadline(10.0)
    while kept_session._others():
        assert not limit.expired, "a connection of the test before is still there"
    assert kept_session.begin()
    yield kept_session
    kept_session.end(check=False)


@pytest.fixture
def single(session, address):
    """The one connection of a test; ended at its end, if the test has not done so."""
    made = SingleConnection(session, address, "tests/test_x.py::test_y")
    yield made
    made.end(check=False)


@pytest.fixture
def conn(single):
    return single.connect()


@pytest.fixture
def auto(single):
    return single.connect(autocommit=True)


def names(connection):
    return [name for (name,) in connection.execute("SELECT name FROM customer ORDER BY id")]
