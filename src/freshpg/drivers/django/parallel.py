"""``--parallel``: every process leases databases of its own, on a server of its own where the server is ours."""

from __future__ import annotations

import multiprocessing.util
from inspect import signature
from typing import Any

from django.test import runner

from freshpg.core.errors import FreshpgError
from freshpg.drivers.django.again import LOST
from freshpg.drivers.django.process import ProcessDatabases

_ALIASES = list(signature(runner._init_worker).parameters).index("used_aliases")
"""Position of the aliases among what Django gives a new worker."""

_failure: FreshpgError | None = None


def _init_worker(*arguments: Any) -> None:
    """Set up a worker as Django does, less its clones, which do not exist."""
    global _failure  # noqa: PLW0603 (a process of a pool has no other memory)
    runner._init_worker(*arguments[:_ALIASES], used_aliases=())
    databases = ProcessDatabases(arguments[_ALIASES], worker=f"worker {runner._worker_id}")
    try:
        databases.start()
    except FreshpgError as error:
        # Raised here, it would let the pool start one worker after another for ever.
        _failure = error
        return
    # Processes of a pool leave without the handlers of atexit.
    multiprocessing.util.Finalize(None, databases.end, exitpriority=100)


def _run_subsuite(arguments: Any) -> Any:
    if _failure is not None:
        raise _failure
    return runner._run_subsuite(arguments)


class ParallelSuite(runner.ParallelTestSuite):  # type: ignore[misc] # Django ships no types
    """Django's own, whose workers lease instead of connecting to numbered clones."""

    init_worker = _init_worker
    run_subsuite = _run_subsuite

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lost: list[str] = []

    def handle_event(self, result: Any, tests: Any, event: Any) -> None:
        """Take in what a worker tells of a test whose server it lost, and pass on all else."""
        if event[0] == LOST:
            self.lost.append(event[1])
        else:
            super().handle_event(result, tests, event)
