"""The inside of the child process that runs Python migrations, started by :mod:`freshpg.templates.migrations.python`.

It finds its job on the standard input: one of the kinds ``call:``, ``alembic:``, ``django`` and ``eventsourcing:``.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

from freshpg.core.conninfo import Conninfo
from freshpg.templates.migrations.failure import describe

if TYPE_CHECKING:
    from collections.abc import Callable

Job = dict[str, Any]


def main(job: Job) -> NoReturn:
    """Carry out one job, report how it ended and leave at once, whatever threads are left."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        _KINDS[job["kind"]](job, Conninfo.parse(os.environ["FRESHPG_URL"]))
        report: dict[str, Any] = {"done": True}
    except BaseException as error:  # noqa: BLE001 (sys.exit() in a migration is a failure too)
        report = {"done": False, **describe(error, job["root"])}
    os.write(job["report"], json.dumps(report).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread of the user's that never ends would keep an ordinary exit waiting.
    os._exit(0)


def _call(job: Job, conninfo: Conninfo) -> None:
    from freshpg.templates.migrations.arguments import call_with_database

    module = importlib.import_module(job["module"])
    call_with_database(attrgetter(job["function"])(module), conninfo)


def _alembic(job: Job, conninfo: Conninfo) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(job["ini"])
    written = config.get_main_option("sqlalchemy.url", "")
    driver = (
        "asyncpg" if "+asyncpg" in written else "psycopg2" if "+psycopg2" in written else "psycopg"
    )
    # ConfigParser takes a percent sign for the start of an interpolation.
    config.set_main_option(
        "sqlalchemy.url", conninfo.url(f"sqlalchemy+{driver}").replace("%", "%%")
    )
    command.upgrade(config, "heads")


def _django(job: Job, conninfo: Conninfo) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = job["settings"]
    from django.conf import settings

    from freshpg.templates.migrations.djangoentry import entry_for

    alias = job["alias"]
    configured = dict(settings.DATABASES).get(alias, {})
    engine = str(configured.get("ENGINE", ""))
    ours = {
        **entry_for(configured, conninfo),
        "ENGINE": engine if "postg" in engine else "django.db.backends.postgresql",
    }
    # The other databases of the settings are somebody's: they are out of reach here. Django insists on a "default".
    settings.DATABASES = {"default": {}, alias: ours}
    import django
    from django.core.management import call_command

    django.setup()
    # As Django's own runner makes a database for tests: apps without migrations get their tables too.
    call_command("migrate", interactive=False, verbosity=1, database=alias, run_syncdb=True)
    call_command("createcachetable", database=alias, verbosity=0)


def _eventsourcing(job: Job, conninfo: Conninfo) -> None:
    from freshpg.templates.migrations.eventenv import leading_elsewhere, postgres_environment

    for name in leading_elsewhere(os.environ):
        del os.environ[name]
    # In the environment, not only handed over: an application may be made when its module is imported.
    os.environ.update(postgres_environment(conninfo, create_tables=True))
    from freshpg.templates.migrations.eventchild import start_and_close

    module = importlib.import_module(job["module"])
    start_and_close(attrgetter(job["name"])(module))


_KINDS: dict[str, Callable[[Job, Conninfo], None]] = {
    "call": _call,
    "alembic": _alembic,
    "django": _django,
    "eventsourcing": _eventsourcing,
}
