"""Failures of tests that concern databases: whose they are, in the log, in the reports and in the last lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, KeeperFailed, LeaseLost, ServerDied
from freshpg.core.printable import plain_line
from freshpg.pytest_plugin.again import ATTEMPT, RERUN, give_up_first
from freshpg.supervision.failures import classify
from freshpg.supervision.noting import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from freshpg.pytest_plugin.run import Run

SHOWN = 5
"""Failures named in the last lines of a run; the log has them all."""

_GONE = (ServerDied, LeaseLost, KeeperFailed)
"""Errors of a hand-out that the next one may not meet, for it gets another server."""


def judge(run: Run, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
    """Tell whose failure a failed phase is, write it down, and have the test run again where its server was lost."""
    lost = run.lending.lost_under(item, error)
    failure = classify(error, lost=lost)
    attempt = item.stash.get(ATTEMPT, None)
    is_over = attempt is not None and attempt.first and not attempt.second
    if lost is None and failure.code.startswith("PY-") and not is_over:
        # It says nothing of databases.
        return
    if attempt is not None and lost is not None:
        if attempt.told and _says_the_same(error, lost):
            report.outcome, report.longrepr = "passed", None
            return
        attempt.told = True
    again = (
        attempt is not None
        and not attempt.second
        and run.is_owner
        and bool(attempt.first or lost or _at_a_hand_out(run, report, error))
    )
    is_consequence = again and bool(attempt and attempt.first)
    facts = {"test": report.nodeid, "phase": report.when, **facts_of(failure, error)}
    run.log.write(failure.kind, **facts, again=again)
    if not is_consequence:
        report.freshpg = {  # type: ignore[attr-defined]
            "kind": failure.kind,
            "text": f"{report.nodeid} ({report.when}): {failure.headline}",
        }
    if again and attempt is not None:
        give_up_first(attempt, report)


def _at_a_hand_out(run: Run, report: pytest.TestReport, error: BaseException) -> bool:
    return report.when == "setup" and isinstance(error, _GONE) and run.lending.may_help(error)


def _says_the_same(error: BaseException, lost: FreshpgError) -> bool:
    """Whether a failure is the loss itself, which whoever gives the database back is told once more."""
    return isinstance(error, FreshpgError) and error.code == lost.code and error.on == lost.on


def lines_of(found: list[dict[str, str]], log: str) -> Iterator[str]:
    """Yield the block at the end of a run: counts, the first failures, where the rest is; nothing if nothing was."""
    if not found:
        return
    rerun = [one for one in found if one["outcome"] == RERUN]
    counts = Counter(one["kind"] for one in found)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in ("ours", "yours", "infrastructure"))
    yield f"freshpg: failures: {said}; more in {log}"
    shown = found[:SHOWN]
    yield from (f"  {one['kind']}: {plain_line(one['text'])}" for one in shown)
    if len(found) > len(shown):
        yield f"  … and {len(found) - len(shown)} more"
    if rerun:
        tests = dict.fromkeys(plain_line(one["test"]) for one in rerun)
        yield f"freshpg: run once more, because the server was lost under them: {len(tests)}"
        yield from (f"  {test}" for test in tests)
