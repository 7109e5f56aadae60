"""A database and a ledger of what is written to it."""

from __future__ import annotations

import pytest
from wal_ledger import Ledger

from freshpg.postgres.admin import Admin


@pytest.fixture(scope="session")
def ledger_of(server):
    """Return a maker of ledgers of one database, made once a session."""
    with Admin.connect(server) as admin:
        for name in ("wal_here", "wal_elsewhere"):
            admin.execute(f"CREATE DATABASE {name}")
    opened = []

    def make(name):
        opened.append(Ledger(Admin.connect(server.with_(dbname=name))))
        return opened[-1]

    yield make
    for one in opened:
        one.local.close()
        one.admin.close()


@pytest.fixture(scope="session")
def only_ledger(ledger_of):
    return ledger_of("wal_here")


@pytest.fixture(scope="session")
def elsewhere(server, ledger_of):
    """A control connection in another database of the same server."""
    with Admin.connect(server.with_(dbname="wal_elsewhere")) as admin:
        admin.execute("CREATE TABLE theirs (id serial PRIMARY KEY, word text)")
        yield admin


@pytest.fixture
def ledger(only_ledger):
    """A ledger of a database with nothing in it but the table ``notes``, with one row and a TOAST table."""
    only_ledger.admin.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        "CREATE TABLE notes (id serial PRIMARY KEY, word text, number int);"
        "INSERT INTO notes (word, number) VALUES ('seed', 1)"
    )
    yield only_ledger
    only_ledger.admin.execute("SELECT pg_advisory_unlock_all(); DISCARD TEMP")


@pytest.fixture
def second(server, ledger):
    """Another connection to the ledger's database."""
    with Admin.connect(server.with_(dbname="wal_here")) as admin:
        yield admin
