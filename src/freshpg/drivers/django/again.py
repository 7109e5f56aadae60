"""Under Django's runner, a test whose server was lost is run once more, on the server that takes its place.

Only that makes a test eligible: one that failed by itself is never run again. What the first run said is dropped, less
that it began; the loss is in the log of errors, and the last lines of the run name the test.
"""

from __future__ import annotations

import copy
import unittest
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError
from freshpg.core.printable import plain_line
from freshpg.drivers.django import session
from freshpg.drivers.django.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.drivers.django.session import DjangoDatabases

LOST = "freshpg_lost"
"""Name of the event by which a process of ``--parallel`` tells its parent of a test."""


class Suite(unittest.TestSuite):
    """Runs tests one by one, with the fixtures of their classes and modules as unittest does.

    Attributes:
        lost: Names of the tests whose server was lost, of this process.
    """

    def __init__(self, tests: Iterable[Any] = ()) -> None:
        super().__init__(tests)
        self.lost: list[str] = []

    def run(self, result: Any, debug: bool = False) -> Any:
        """Run the tests, one whose server was lost once more."""
        databases = session.current()
        if databases is None or debug:
            return super().run(result, debug)
        is_top = not getattr(result, "_testRunEntered", False)
        result._testRunEntered = True
        free: Any = self._removeTestAtIndex  # type: ignore[attr-defined] # documented, and not in the stubs
        for index, test in enumerate(self):
            if result.shouldStop:
                break
            self._run_one(test, result, databases)
            free(index)
        if is_top:
            result._testRunEntered = False
            # An empty suite ends the last class and module.
            watched: Any = Watched(result, databases.lost_under)
            unittest.TestSuite().run(watched)
            if watched.loss is not None:
                databases.note_loss("after the last test", *watched.loss, again=False)
        return result

    def _run_one(self, test: Any, result: Any, databases: DjangoDatabases) -> None:
        lost = databases.lost()
        if lost is not None:
            # It ended between two tests, or a test that had failed by itself took it along.
            databases.note_loss("between two tests", lost, lost, again=False)
            if not _renew(test, result, databases):
                return
        # Django keeps data of a class on the instance it was read from: a second run needs another one.
        second = copy.copy(test)
        first: Any = Watched(result, databases.lost_under)
        try:
            unittest.TestSuite([test]).run(first)
        finally:
            if first.loss is None:
                first.settle()
        if first.loss is not None:
            databases.note_loss(test.id(), *first.loss, again=True)
            self._name(test, result)
            _run_again(second, Watched(result, databases.lost_under, begun=first.begun), databases)

    def _name(self, test: Any, result: Any) -> None:
        events = getattr(result, "events", None)
        if events is None:
            self.lost.append(test.id())
        else:
            events.append((LOST, test.id()))


def lines_of(lost: list[str]) -> Iterator[str]:
    """Yield what the end of a run says of tests that were run once more; nothing where none was."""
    if lost:
        names = dict.fromkeys(map(plain_line, lost))
        yield f"freshpg: infrastructure: run once more, because the server was lost under them: {len(names)}"
        yield from (f"  {name}" for name in names)


def _run_again(test: Any, watched: Any, databases: DjangoDatabases) -> None:
    watched.is_last = True
    try:
        if _renew(test, watched, databases):
            unittest.TestSuite([test]).run(watched)
    finally:
        watched.settle()
    if watched.loss is not None:
        databases.note_loss(test.id(), *watched.loss, again=False)


def _renew(test: Any, result: Any, databases: DjangoDatabases) -> bool:
    """Lease anew; where nothing is to be had, fail the test that needs it and end the run."""
    _end_class_and_module(result)
    try:
        databases.renew()
    except FreshpgError as error:
        result.addError(test, (type(error), error, error.__traceback__))
        result.stop()
        return False
    return True


def _end_class_and_module(result: Any) -> None:
    """Tear down what may hold the lost server; that it fails there is a consequence, and says nothing."""
    silent: Any = unittest.TestResult()
    for name in ("_previousTestClass", "_moduleSetUpFailed"):
        setattr(silent, name, getattr(result, name, None))
    unittest.TestSuite().run(silent)
    result._previousTestClass = None
