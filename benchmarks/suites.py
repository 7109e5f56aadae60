"""Suites of trivial tests, one a peer: insert a row, commit where the peer allows it, read it back.

Each is what the peer's documentation tells to write. ``{name}`` is filled in; see :mod:`benchmarks.per_test`.
"""

from __future__ import annotations

from dataclasses import dataclass

WORK = """
    with {connect} as connection:
        connection.execute("INSERT INTO item_0 (name) VALUES ('x')")
        connection.commit()
        assert connection.execute("SELECT count(*) FROM item_0").fetchone() == (1,)
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """A peer's ``conftest.py`` and test; ``tests`` is how many a run has, fewer where each takes long."""

    name: str
    conftest: str
    test: str
    tests: int = 100
    plugins: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    commits: bool = True
    options: tuple[str, ...] = ()


def _freshpg(level: str) -> Suite:
    return Suite(
        f"freshpg {level}",
        "",
        f"@pytest.mark.pg(isolation='{level}')\ndef test_it(number, pg):"
        + WORK.format(connect="pg.connect()"),
        plugins=("freshpg.pytest_plugin",),
    )


_RAW = """
import psycopg, pytest

@pytest.fixture(scope="session")
def admin():
    with psycopg.connect("{url}", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS raw_test")
        yield connection

@pytest.fixture
def address(admin):
    admin.execute("CREATE DATABASE raw_test TEMPLATE {template}{strategy}")
    yield "{url}".replace("/postgres?", "/raw_test?")
    admin.execute("DROP DATABASE raw_test")
"""

SAVEPOINT = """
import pytest, sqlalchemy
from sqlalchemy.orm import Session

@pytest.fixture(scope="session")
def engine():
    engine = sqlalchemy.create_engine("postgresql+psycopg://", connect_args={keywords})
    yield engine
    engine.dispose()

@pytest.fixture
def session(engine):
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(bind=connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()
"""

NOPROC = """
from pathlib import Path
from pytest_postgresql import factories

server = factories.postgresql_noproc(
    host="{host}", port={port}, user="{user}", dbname="peer_test", load=[Path("{schema}")])
postgresql = factories.postgresql("server")
"""

PROC = """
from pathlib import Path
from pytest_postgresql import factories

server = factories.postgresql_proc(
    executable="{pg_ctl}", dbname="peer_test", unixsocketdir="{sockets}", load=[Path("{schema}")],
    postgres_options="-c fsync=off -c synchronous_commit=off -c full_page_writes=off")
postgresql = factories.postgresql("server")
"""

_DJANGO_SETTINGS = """
SECRET_KEY = "benchmark"
INSTALLED_APPS = ["stock"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "django", "HOST": "{host}",
                          "PORT": "{port}", "USER": "{user}", "TEST": {{"NAME": "django_test"}}}}}}
"""

_DJANGO_MODELS = """
from django.db import models

def chain(count):
    for number in range(count):
        fields = {{"__module__": __name__, "name": models.TextField(db_index=True),
                  "quantity": models.IntegerField(default=0, db_index=True),
                  "made": models.DateTimeField(auto_now_add=True, db_index=True), "details": models.JSONField(null=True)}}
        for back in (1, 2):
            if number >= back:
                fields[f"parent_{{back}}"] = models.ForeignKey(
                    f"Item{{number - back}}", models.CASCADE, null=True, related_name=f"+", db_index=False)
        yield type(f"Item{{number}}", (models.Model,), fields)

MODELS = list(chain({tables}))
"""


def _django(name: str, argument: str, *, commits: bool, tests: int) -> Suite:
    return Suite(
        f"pytest-django {name}",
        "",
        f"@pytest.mark.django_db({argument})\ndef test_it(number):\n"
        "    from stock.models import MODELS\n"
        "    MODELS[0].objects.create(name='x')\n"
        "    assert MODELS[0].objects.count() == 1\n",
        tests=tests,
        plugins=("pytest_django.plugin",),
        files=(
            ("bench_settings.py", _DJANGO_SETTINGS),
            ("stock/__init__.py", ""),
            ("stock/models.py", _DJANGO_MODELS),
        ),
        commits=commits,
    )


FLOOR = Suite("empty test", "", "def test_it(number):\n    pass\n")

SUITES = (
    _freshpg("clone"),
    _freshpg("reset"),
    Suite(
        "pytest-postgresql, running server",
        NOPROC,
        "def test_it(number, postgresql):" + WORK.format(connect="postgresql"),
        tests=30,
        plugins=("pytest_postgresql.plugin",),
    ),
    Suite(
        "pytest-postgresql, own server",
        PROC,
        "def test_it(number, postgresql):" + WORK.format(connect="postgresql"),
        tests=30,
        plugins=("pytest_postgresql.plugin",),
    ),
    _django("db", "", commits=False, tests=100),
    _django("transaction=True", "transaction=True", commits=True, tests=30),
    Suite(
        "SQLAlchemy savepoint recipe",
        SAVEPOINT,
        "def test_it(number, session):\n"
        "    from sqlalchemy import text\n"
        "    session.execute(text(\"INSERT INTO item_0 (name) VALUES ('x')\"))\n"
        "    session.commit()\n"
        "    assert session.execute(text('SELECT count(*) FROM item_0')).scalar() == 1\n",
        commits=False,
    ),
    Suite(
        "raw CREATE DATABASE … TEMPLATE",
        _RAW.replace("{strategy}", ""),
        "def test_it(number, address):" + WORK.format(connect="psycopg.connect(address)"),
        tests=30,
    ),
    Suite(
        "the same, STRATEGY FILE_COPY",
        _RAW.replace("{strategy}", " STRATEGY FILE_COPY"),
        "def test_it(number, address):" + WORK.format(connect="psycopg.connect(address)"),
        tests=30,
    ),
)


AS_USER = """\
#!/bin/sh
# pg_ctl refuses to run as root: make the directories passable and run it as the user that runs the other servers.
for argument in "$@"; do
    case "$argument" in {place}/*)
        above=$(dirname "$argument")
        chown -R {user}:{group} "$above"
        while [ "$above" != "{place}" ]; do chmod 711 "$above"; above=$(dirname "$above"); done
    esac
done
exec setpriv --reuid={user} --regid={group} --clear-groups {pg_ctl} "$@"
"""
