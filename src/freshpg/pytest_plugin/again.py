"""A test whose server was lost under it is run once more, on the server that takes its place.

Only that makes a test eligible: one that failed by itself is never run again. The first run's reports stay, as ``rerun``;
what they said stands in the reports of the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from freshpg.pytest_plugin.run import Run

RERUN = "rerun"
"""The outcome that pytest-rerunfailures and those who read its reports know."""


class Attempt:
    """What became of a test so far.

    Attributes:
        first: What the first run ended with, where its server was lost; empty otherwise.
        passed: Whether the test itself had passed by then.
        second: Whether the second run is on.
        told: Whether a report of this run says already that the server was lost.
        problems: What went wrong when the fixtures of the first run were torn down.
    """

    __slots__ = ("first", "passed", "problems", "second", "told")

    def __init__(self) -> None:
        self.first = ""
        self.passed = self.second = self.told = False
        self.problems: tuple[str, ...] = ()


ATTEMPT = pytest.StashKey[Attempt]()


def give_up_first(attempt: Attempt, report: pytest.TestReport) -> None:
    """Make the report of a failed phase one of a run that does not count."""
    if not attempt.first:
        attempt.first = f"{report.when}: {report.longreprtext}"
    report.outcome = RERUN  # type: ignore[assignment]
    if report.when == "teardown":
        # The phase that ends a test for those who count: there will be another one.
        report.when = RERUN  # type: ignore[assignment]


def note_phase(attempt: Attempt, report: pytest.TestReport) -> None:
    """Tell the phases of a first and of a second run from those of any other."""
    if attempt.second:
        report.sections.append(("freshpg: the first run lost its server", attempt.first))
        report.sections += [("freshpg: when it was torn down", text) for text in attempt.problems]
        if report.when == "call" and report.passed and attempt.passed:
            report.freshpg_counted = True  # type: ignore[attr-defined]
    elif report.when == "call":
        attempt.passed = report.passed
    elif report.when == "teardown" and attempt.first and report.passed:
        report.when = RERUN  # type: ignore[assignment]


def run_again(run: Run, item: pytest.Item, nextitem: pytest.Item | None, attempt: Attempt) -> None:
    """Tear down every fixture, those of wide scope too, for they may hold what was lost; then run the test again."""
    from _pytest.runner import runtestprotocol

    try:
        item.session._setupstate.teardown_exact(None)  # noqa: SLF001 (pytest has no public way)
    except Exception as error:  # noqa: BLE001 (told in the reports of the second run)
        attempt.problems = (f"{type(error).__name__}: {error}",)
    run.lending.renew()
    attempt.second, attempt.told = True, False
    item._report_sections.clear()  # noqa: SLF001 (what the first run printed is in its reports)
    runtestprotocol(item, nextitem=nextitem)


def status_of(report: object) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
    """Return how a report of ours is counted and shown; ``None`` for all others."""
    if getattr(report, "freshpg_counted", False):
        return "", "", ""
    if getattr(report, "outcome", "") != RERUN or not hasattr(report, "freshpg"):
        # A phase in the middle of it passed.
        return ("", "", "") if getattr(report, "when", "") == RERUN else None
    return RERUN, "R", ("RERUN", {"yellow": True})
