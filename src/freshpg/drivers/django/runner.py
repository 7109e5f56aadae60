"""``TEST_RUNNER = "freshpg.drivers.django.TestRunner"``: ``manage.py test`` on leased databases."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connections
from django.test.runner import DiscoverRunner

from freshpg.core.errors import FreshpgError
from freshpg.core.events import Progress
from freshpg.drivers.django.again import Suite, lines_of
from freshpg.drivers.django.parallel import ParallelSuite
from freshpg.drivers.django.process import ProcessDatabases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.events import Event


class TestRunner(DiscoverRunner):  # type: ignore[misc] # Django ships no types
    """Django's own runner, less creating, migrating, flushing and dropping databases.

    Templates are migrated once and serve until a migration changes; each process of ``--parallel`` leases databases of
    its own. ``--keepdb`` is accepted and changes nothing.
    """

    # No test, wherever a module of tests imports it.
    __test__ = False
    test_suite = Suite
    parallel_test_suite = ParallelSuite

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._databases = ProcessDatabases(())

    def get_databases(self, suite: Any) -> dict[str, bool]:
        """Return the aliases the tests use, none to be serialized: a reset brings rows of migrations back."""
        return dict.fromkeys(super().get_databases(suite), False)

    def setup_databases(self, **kwargs: Any) -> ProcessDatabases:
        """Lease a database for every alias the tests use, and point the aliases at them.

        Raises:
            CommandError: One is not to be had; its cause is the error of freshpg.
        """
        if self.keepdb:
            self.log("--keepdb changes nothing here: templates are always kept.", logging.DEBUG)
        self._databases = ProcessDatabases(kwargs.get("aliases") or (), tell=self._tell)
        with self.time_keeper.timed("  Leasing databases"), _as_command_error():
            self._databases.start()
        for alias, name in self._databases.names.items():
            self.log(f"Using test database {name!r} for alias {alias!r}.")
        if self.debug_sql:
            for alias in connections:
                connections[alias].force_debug_cursor = True
        return self._databases

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        """Run the tests, here or in processes of their own.

        Raises:
            CommandError: A process got no databases; its cause is the error of freshpg.
        """
        if isinstance(suite, ParallelSuite):
            # Nothing of ours may live on in forked children; a worker takes over the warm server.
            self._databases.end()
        with _as_command_error():
            result = super().run_suite(suite, **kwargs)
        for line in lines_of(getattr(suite, "lost", [])):
            self.log(line)
        return result

    def teardown_databases(self, old_config: ProcessDatabases, **kwargs: Any) -> None:  # noqa: ARG002 (Django's own)
        """Give the databases back."""
        with _as_command_error():
            old_config.end()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.log(f"freshpg: {event.text}")


@contextmanager
def _as_command_error() -> Iterator[None]:
    """Let a command of Django show our error as a block, without a stack."""
    try:
        yield
    except FreshpgError as error:
        raise CommandError(str(error)) from error
