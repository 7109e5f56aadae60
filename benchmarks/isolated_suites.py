"""Suites of one test each, for what protects it: freshpg's levels and the ways of its peers, with the same bodies."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bodies import DJANGO, PSYCOPG, SQLALCHEMY
from benchmarks.suites import NOPROC, PROC, SAVEPOINT, Suite
from benchmarks.test_to_test import PLUGIN, TESTS

CLOCK = "bench_clock"
FRESHPG = "freshpg.pytest_plugin"
Variant = Callable[..., Suite]
"""Makes the suite of one body; ``files`` is how many test files it has, one for each worker."""


def _suite(
    name: str,
    bodies: str,
    call: str,
    *,
    imports: str = "",
    marker: str = "",
    fixtures: str = "",
    conftest: str = "",
    plugins: tuple[str, ...] = (),
    more: tuple[tuple[str, str], ...] = (),
    options: tuple[str, ...] = (),
    files: int = 1,
    commits: bool = True,
) -> Suite:
    tests = TESTS.format(
        imports=f"from bench_bodies import *\n{imports}",
        marker=marker,
        fixtures=fixtures,
        call=call,
    )
    escaped = tests.replace("{", "{{").replace("}", "}}")
    return Suite(
        name,
        conftest,
        "",
        plugins=(CLOCK, *plugins),
        files=(
            (f"{CLOCK}.py", PLUGIN),
            ("bench_bodies.py", bodies),
            *((f"test_{number}.py", escaped) for number in range(files)),
            *more,
        ),
        commits=commits,
        options=options,
    )


_APPLICATION = """
import psycopg

_kept = []

def connection(pg, autocommit=True):
    if not _kept:
        _kept.append(psycopg.connect(pg.url, autocommit=autocommit))
    return _kept[0]
"""

_ROLLED_BACK = """
import psycopg, pytest

@pytest.fixture(scope="session")
def kept():
    with psycopg.connect(**{keywords}) as connection:
        yield connection

@pytest.fixture
def connection(kept):
    yield kept
    kept.rollback()
"""

_NO_DATABASE = """
import pytest

@pytest.fixture
def pg(request):
    yield None
"""


def no_database(body: str, *, files: int = 1) -> Suite:
    """A test with a fixture that does nothing: pytest's own part."""
    return _suite(
        "a fixture that does nothing", "nothing = None", "pass",
        fixtures=", pg", conftest=_NO_DATABASE, files=files,
    )  # fmt: skip


def bare_rollback(body: str, *, files: int = 1) -> Suite:
    """One connection for the run, rolled back by a fixture."""
    return _suite(
        "psycopg, BEGIN and ROLLBACK in a fixture", PSYCOPG, f"{body}(connection)",
        fixtures=", connection", conftest=_ROLLED_BACK, files=files, commits=False,
    )  # fmt: skip


def reset_kept(
    body: str,
    *,
    files: int = 1,
    settings: str = "",
    name: str = "freshpg reset",
    options: tuple[str, ...] = (),
) -> Suite:
    """The application keeps its connection from test to test."""
    autocommit = body != "committed"
    return _suite(
        name, PSYCOPG, f"{body}(connection(pg, {autocommit}))",
        imports="from bench_application import connection",
        marker="@pytest.mark.pg(isolation='reset')", fixtures=", pg", plugins=(FRESHPG,),
        more=(("bench_application.py", _APPLICATION), *_toml(settings)), files=files, options=options,
    )  # fmt: skip


def proved(body: str, *, files: int = 1) -> Suite:
    """The same with the deep comparison after every test."""
    return reset_kept(body, files=files, name="freshpg reset, --pg-prove", options=("--pg-prove",))


def connected(level: str) -> Variant:
    """``pg_conn``: a connection a test, or at level rollback the one that is kept."""

    def make(body: str, *, files: int = 1) -> Suite:
        return _suite(
            f"freshpg {level}, pg_conn", PSYCOPG, f"{body}(pg_conn)",
            marker=f"@pytest.mark.pg(isolation='{level}')", fixtures=", pg_conn",
            plugins=(FRESHPG,), files=files, commits=level != "rollback",
        )  # fmt: skip

    return make


def savepoint_recipe(body: str, *, files: int = 1) -> Suite:
    """What SQLAlchemy's documentation tells to write."""
    return _suite(
        "SQLAlchemy, savepoint recipe", SQLALCHEMY, f"{body}(session)",
        fixtures=", session", conftest=SAVEPOINT, files=files, commits=False,
    )  # fmt: skip


def session(level: str) -> Variant:
    """``pg_session``: a Session on an engine that is kept."""

    def make(body: str, *, files: int = 1) -> Suite:
        return _suite(
            f"freshpg {level}, pg_session", SQLALCHEMY, f"{body}(pg_session)",
            marker=f"@pytest.mark.pg(isolation='{level}')", fixtures=", pg_session",
            plugins=(FRESHPG,), files=files, commits=level != "rollback",
        )  # fmt: skip

    return make


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
                    f"Item{{number - back}}", models.CASCADE, null=True, related_name="+", db_index=False)
        yield type(f"Item{{number}}", (models.Model,), fields)

MODELS = list(chain({tables}))
"""

_DJANGO_MIGRATION = """
from django.db import migrations

def make(apps, editor):
    from stock.models import MODELS
    for model in MODELS:
        editor.create_model(model)

class Migration(migrations.Migration):
    dependencies = []
    operations = [migrations.RunPython(make)]
"""

_DJANGO_FILES = (
    ("bench_settings.py", _DJANGO_SETTINGS),
    ("stock/__init__.py", ""),
    ("stock/models.py", _DJANGO_MODELS),
    ("stock/migrations/__init__.py", ""),
    ("stock/migrations/0001_initial.py", _DJANGO_MIGRATION),
)

_DJANGO_TOML = """
[settings]
max_locks_per_transaction = 1024

[databases.main]
name = "bench_django_test"
migrations = ["django"]
"""


def django(arguments: str, *, ours: bool = False) -> Variant:
    """pytest-django by itself, or on leased databases."""

    def make(body: str, *, files: int = 1) -> Suite:
        level = "transaction=True" if arguments else "db"
        # Its models are known only when Django is set up, which a test module may not wait for.
        call = f"from bench_bodies import {body}\n    {body}()"
        more = (("freshpg.toml", _DJANGO_TOML), ("pytest.ini", "[pytest]\npg_django = true\n"))
        return _suite(
            f"pytest-django {level}{' on freshpg' if ours else ''}", DJANGO, call,
            marker=f"@pytest.mark.django_db({arguments})",
            plugins=("pytest_django.plugin", *((FRESHPG,) if ours else ())),
            more=(*_DJANGO_FILES, *(more if ours else ())), files=files, commits=bool(arguments),
        )  # fmt: skip

    return make


def pytest_postgresql(kind: str) -> Variant:
    """A database a test, on a running server or on one that it starts."""

    def make(body: str, *, files: int = 1) -> Suite:
        return _suite(
            f"pytest-postgresql, {kind} server", PSYCOPG, f"{body}(postgresql)",
            fixtures=", postgresql", conftest=NOPROC if kind == "running" else PROC,
            plugins=("pytest_postgresql.plugin",), files=files,
        )  # fmt: skip

    return make


def elsewhere(url: str, role: str) -> Variant:
    """Level reset on a server given by address, through what ``role`` may do there."""
    settings = f'server = "{url}"\nallow_create = true\n[databases.main]\nname = "bench_url_test"\nmigrations = ["schema.sql"]'

    def make(body: str, *, files: int = 1) -> Suite:
        return reset_kept(body, files=files, settings=settings, name=f"freshpg reset, {role}")

    return make


def _toml(settings: str) -> tuple[tuple[str, str], ...]:
    return (("freshpg.toml", settings),) if settings else ()
