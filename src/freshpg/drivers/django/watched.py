"""What unittest is told of one run of one test, held back where a second run may say otherwise. Pure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_HELD = frozenset(("addSkip", "addSuccess", "addUnexpectedSuccess", "addDuration"))
"""Told when the run of the test is over, its fixtures torn down."""

_OWN = frozenset(("_result", "_lost", "_held", "_failed", "is_last", "begun", "loss"))


class Watched:
    """Stands before a result for the time of one test; whatever it does not hold back goes through.

    Args:
        result: Any result of unittest.
        lost: Says why an error is none of the test's: what became of its server; ``None`` where nothing did.
        begun: The test, where the result was told already that it begins.

    Attributes:
        is_last: Whether this run counts, whatever becomes of it.
        begun: The test that the result was told of and that has not ended yet.
        loss: What the run ended with and why, where the server was lost under it and nothing had failed before.
    """

    def __init__(
        self, result: Any, lost: Callable[[BaseException], Exception | None], *, begun: Any = None
    ) -> None:
        self._result = result
        self._lost = lost
        self._held: list[Callable[[], object]] = []
        self._failed = False
        self.is_last = False
        self.begun = begun
        self.loss: tuple[BaseException, Exception] | None = None

    def __getattr__(self, name: str) -> Any:
        told = getattr(self._result, name)
        return partial(self._hold, told) if name in _HELD else told

    def __setattr__(self, name: str, value: Any) -> None:
        # Suites of unittest note on the result how far they are.
        if name in _OWN:
            super().__setattr__(name, value)
        else:
            setattr(self._result, name, value)

    def startTest(self, test: Any) -> None:  # noqa: N802 (unittest's names, here and below)
        """Begin: once a test, however often it is run."""
        if self.begun is None:
            self._result.startTest(test)
        self.begun = test

    def stopTest(self, test: Any) -> None:  # noqa: N802
        """Wait for the fixtures of the test: :meth:`settle` ends it."""

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        """Pass on what failed, unless the server was lost."""
        self._fail(test, err, partial(self._result.addError, test, err))

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        """Pass on what failed, unless the server was lost."""
        self._fail(test, err, partial(self._result.addFailure, test, err))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        """Pass on what became of a part of a test, unless the server was lost under it."""
        tell = partial(self._result.addSubTest, test, subtest, err)
        if err is None:
            tell()
        else:
            self._fail(test, err, tell)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        """Hold back what failed as expected; the loss of a server is not what was expected."""
        if not self._is_lost(err):
            self._hold(self._result.addExpectedFailure, test, err)

    def settle(self) -> None:
        """Tell what was held back, in its order: the run counts."""
        held, self._held = self._held, []
        for tell in held:
            tell()
        begun, self.begun = self.begun, None
        if begun is not None:
            self._result.stopTest(begun)

    def _hold(self, tell: Callable[..., object], *arguments: Any) -> None:
        self._held.append(partial(tell, *arguments))

    def _fail(self, test: Any, err: Any, tell: Callable[[], object]) -> None:
        if not self._is_lost(err):
            # What failed for a class or a module is told of a stand-in, and is none of the test's own.
            self._failed = self._failed or hasattr(test, "_testMethodName")
            tell()

    def _is_lost(self, err: Any) -> bool:
        """Whether a failure does not count: the server was lost before anything else failed."""
        if not self._failed and self.loss is None:
            lost = self._lost(err[1])
            self.loss = None if lost is None else (err[1], lost)
        return self.loss is not None and not self.is_last
