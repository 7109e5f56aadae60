"""The options: each may also stand in pytest's configuration, under the same name without dashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_TEXTS = {
    "isolation": "level of isolation for tests that ask for none: readonly, rollback, reset, clone or server",
    "server": "auto, embedded, system, or the postgresql:// address of a server given for tests",
}
_SWITCHES = {
    "keep_failed": (
        "leave the database of a failed test for inspection, as NAME_failed_N; look into it with: freshpg psql "
        "NAME_failed_N"
    ),
    "strict": (
        "fail a test that leaves a transaction open, a query running or an advisory lock held, and name the line that "
        "opened the connection"
    ),
    "prove": (
        "after each test compare the whole database with its template, every row and definition; slow, and complete"
    ),
}

_DJANGO = (
    "run the tests of pytest-django on databases of freshpg; by default when TEST_RUNNER in Django's settings is "
    "freshpg.drivers.django.TestRunner"
)

_DRIVER = (
    "driver of pg_engine, pg_aengine and the fixtures made of them: psycopg, psycopg2, pg8000 or asyncpg; those of the "
    "kind it cannot make use psycopg"
)

_RESUME = (
    "take up an interrupted run of the same tests: leave out what had passed when it was killed or stopped, and has not "
    "changed since"
)


MARKER = (
    "pg(isolation=None, databases=(), keep=None, driver=None): how a test gets its databases: the level of isolation "
    "(readonly, rollback, reset, clone, server); the blueprints of pg_databases leased before the test begins; whether "
    "its databases are kept for inspection (True: always, 'failed': when it fails, False: never); the driver of "
    "SQLAlchemy's fixtures (psycopg, asyncpg, psycopg2, pg8000)."
)


def add_options(parser: pytest.Parser) -> None:
    """Add ours, in one group."""
    group = parser.getgroup("freshpg", "PostgreSQL test databases (freshpg)")
    for key, text in _TEXTS.items():
        metavar = "LEVEL" if key == "isolation" else "SERVER"
        group.addoption(f"--pg-{key}", dest=f"pg_{key}", metavar=metavar, help=text)
        parser.addini(f"pg_{key}", text, type="string", default="")
    for key, text in _SWITCHES.items():
        option = f"--pg-{key.replace('_', '-')}"
        group.addoption(option, dest=f"pg_{key}", action="store_true", help=text)
        parser.addini(f"pg_{key}", text, type="bool", default=False)
    group.addoption("--pg-driver", dest="pg_driver", metavar="DRIVER", help=_DRIVER)
    parser.addini("pg_driver", _DRIVER, type="string", default="")
    group.addoption("--pg-resume", dest="pg_resume", action="store_true", help=_RESUME)
    parser.addini("pg_django", _DJANGO, type="bool", default=None)


def check_options(config: pytest.Config) -> None:
    """Refuse a level or driver that does not exist; a server is only looked at when a test needs one.

    Raises:
        UsageError: There is no such driver, or no such level.
    """
    level, driver = isolation_of(config), driver_of(config)
    if not (level or driver):
        return
    from freshpg.isolation.levels import parse
    from freshpg.pytest_plugin.blocks import as_usage_error
    from freshpg.pytest_plugin.marker import require_driver

    with as_usage_error():
        if level:
            parse(level)
        if driver:
            require_driver(driver)


def driver_of(config: pytest.Config) -> str:
    """Return the driver of the option or of pytest's configuration; empty for none."""
    return str(config.getoption("pg_driver") or config.getini("pg_driver"))


def isolation_of(config: pytest.Config) -> str | None:
    """Return the level of the option or of pytest's configuration."""
    found = overrides_of(config).get("isolation")
    return found[0] if found else None


def overrides_of(config: pytest.Config) -> dict[str, tuple[Any, str]]:
    """Return the settings given through pytest, each with where it was given."""
    found = {}
    for key in _TEXTS:
        if given := config.getoption(f"pg_{key}"):
            found[key] = (given, f"--pg-{key}")
        elif given := config.getini(f"pg_{key}"):
            found[key] = (given, f"pg_{key} in {config.inipath or 'the configuration of pytest'}")
    return found


def is_on(config: pytest.Config, switch: str) -> bool:
    """Whether one of our switches (``keep_failed``, ``strict``, ``prove``) is on, by option or in the configuration."""
    return bool(config.getoption(f"pg_{switch}") or config.getini(f"pg_{switch}"))
