"""A database of its own for each step under test, on the private server of the tests above."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from postgres_server import binaries_at_hand

from freshpg.core.clock import Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.postgres.admin import Admin
from freshpg.servers import runas
from freshpg.templates.migrations.base import Target

NUMBERS = count(1)


@pytest.fixture(scope="session")
def bindir() -> Path:
    """Where psql and pg_dump of the server are."""
    found = binaries_at_hand(runas.choose()).bindir
    if not (found / "psql").exists():
        pytest.skip("this PostgreSQL comes without psql")
    return found


@pytest.fixture
def target(server: Conninfo, tmp_path: Path) -> Iterator[Target]:
    name = f"migration_{os.getpid()}_{next(NUMBERS)}"
    with Admin.connect(server) as admin:
        admin.execute(
            f"CREATE DATABASE {name} OWNER postgres TEMPLATE template0 STRATEGY file_copy"
        )
        conninfo = server.with_(user="postgres", dbname=name)
        yield Target(conninfo=conninfo, admin=lambda: Admin.connect(server), root=tmp_path)
        # A step that left a session behind fails its test here.
        admin.execute(f"DROP DATABASE {name}")


@pytest.fixture
def inside(target: Target) -> Iterator[Admin]:
    """The superuser, in the database the step works on."""
    with target.admin() as outside:
        conninfo = outside.conninfo.with_(dbname=target.conninfo.dbname)
    with Admin.connect(conninfo) as admin:
        yield admin


@pytest.fixture
def deadline() -> Deadline:
    return Deadline(30)
