"""pytest-django on leased databases: in the place of its ``django_db_setup``, which creates and migrates."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNER = "freshpg.drivers.django.TestRunner"


def activate(config: pytest.Config) -> None:
    """Take the place of pytest-django's fixture when the configuration, or Django's settings, say so."""
    said: bool | None = config.getini("pg_django")
    if said or (said is None and _runner_is_ours()):
        # Of plugins, the last one's fixture counts: pytest-django is there already. One of a conftest wins over both.
        config.pluginmanager.register(sys.modules[__name__], "freshpg-django")


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    django_test_environment: None,  # noqa: ARG001 (asked for their effect)
    django_db_modify_db_settings: None,  # noqa: ARG001
    django_db_blocker: Any,
) -> Iterator[None]:
    """Point Django's aliases at leased databases for the run; under xdist, each worker at its own."""
    from freshpg.drivers.django.requirements import require_django

    require_django()
    from freshpg.drivers.django.session import DjangoDatabases

    aliases = _aliases_of(request.session.items)
    lending = request.config.stash[RUN].lending
    with lending.manager() as manager, django_db_blocker.unblock():
        databases = DjangoDatabases(manager, aliases, test="pytest-django").open()
    lending.beside = [databases[alias] for alias in databases.blueprints]
    owner_pid = os.getpid()
    yield
    # What is leased stays the parent's when a test forked and its child runs fixtures to their end.
    if os.getpid() == owner_pid:
        with django_db_blocker.unblock():
            databases.close()


def _runner_is_ours() -> bool:
    conf = sys.modules.get("django.conf")
    return bool(conf and conf.settings.configured and conf.settings.TEST_RUNNER == RUNNER)


def _aliases_of(items: list[pytest.Item]) -> set[str]:
    """Return the aliases that tests say they use, and ``default`` for fixtures that are asked for at run time."""
    from django.db import connections

    aliases = {"default"}
    for item in items:
        said = _databases_of(item)
        aliases.update(connections if said == "__all__" else said)
    return aliases


def _databases_of(item: pytest.Item) -> Any:
    from django.test import SimpleTestCase

    cls = getattr(item, "cls", None)
    if cls is not None and issubclass(cls, SimpleTestCase):
        return cls.databases
    marker = item.get_closest_marker("django_db")
    if marker is None:
        return ()
    position = 2  # django_db(transaction, reset_sequences, databases, …)
    by_position = marker.args[position] if len(marker.args) > position else None
    return marker.kwargs.get("databases", by_position) or ()
