"""The one place that sees every report of a run: for its record, for ``--pg-resume``, and for the last lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freshpg.pytest_plugin.record import Record
    from freshpg.pytest_plugin.run import Run

PASSED = "freshpg_passed"
"""What workers are told: ids of tests that are not run again."""

_DRY = ("collectonly", "setuponly", "setupplan", "show_fixtures_per_test", "showfixtures")


class Reports:
    """A plugin of the process that reports to the terminal: pytest itself, or the controller of xdist."""

    def __init__(self, run: Run, *, begun: float) -> None:
        self._run = run
        self._begun = begun
        self._record: Record | None = None
        self._is_recording = not any(run.config.getoption(name, False) for name in _DRY)
        self._passed: set[str] = set()
        self._before: list[tuple[str, bool]] = []
        self.already: dict[str, str] = {}
        self.said = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Find out what need not run again; xdist starts its workers right after."""
        if self._run.config.getoption("pg_resume") and self._is_recording:
            self._resume()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist."""
        node.workerinput[PASSED] = sorted(self.already)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what became of a test, wherever it ran."""
        if found := getattr(report, "freshpg", None):
            self._run.failures.append(
                {**found, "test": report.nodeid, "outcome": str(report.outcome)}
            )
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)
        elif report.when == "teardown":
            passed = report.passed and report.nodeid in self._passed
            self._passed.discard(report.nodeid)
            self._finished(report, passed=passed)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Keep the record of a run that did not come to its end; one that did needs none."""
        nothing_left = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.already
        if nothing_left:
            session.exitstatus = pytest.ExitCode.OK
        ends = (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )
        completed = exitstatus in ends and not session.shouldstop and not session.shouldfail
        if self._record is not None:
            self._record.close(completed=completed)

    def lines(self) -> Iterator[str]:
        """Yield what is to be said of the run before."""
        if self.said:
            yield f"freshpg: {self.said}"

    def _finished(self, report: pytest.TestReport, *, passed: bool) -> None:
        """Note a test. The record begins with the first that had a database: a run without one costs nothing."""
        if not self._is_recording:
            return
        database = bool(getattr(report, "freshpg_database", False))
        if self._record is None:
            if not database:
                self._before.append((report.nodeid, passed))
                return
            self._open()
        if self._record is not None:
            self._record.finished(report.nodeid, passed=passed, database=database)

    def _open(self) -> None:
        from freshpg.pytest_plugin.record import Record

        directory = self._directory()
        if directory is None:
            self._is_recording = False
        else:
            self._record = Record(self._run, directory, begun=self._begun)
            for nodeid, passed in self._before:
                self._record.finished(nodeid, passed=passed, database=False)
        self._before.clear()

    def _directory(self) -> Path | None:
        """Return where records lie; ``None`` where nothing says that the project uses freshpg."""
        from freshpg.core.errors import FreshpgError
        from freshpg.core.settings.locate import find_project

        try:
            project = find_project(self._run.settings_begin)
        except FreshpgError:
            return None
        return project.root / ".freshpg" / "runs" if project.file else None

    def _resume(self) -> None:
        from freshpg.pytest_plugin.record import find_interrupted, still_valid

        directory = self._directory()
        found = find_interrupted(self._run, directory) if directory else None
        if found is None:
            self.said = "no interrupted run of these tests is known, all of them are run"
            return
        from datetime import datetime

        self.already = still_valid(self._run, found)
        self._open()
        if self._record is not None:
            self._record.carry_over(found, self.already)
        began = datetime.fromtimestamp(found.begun).astimezone().isoformat(" ", "seconds")
        changed = len(found.passed) - len(self.already)
        self.said = f"taking up the run of {began}: {len(self.already)} that passed left out"
        if changed:
            self.said += f", {changed} changed since and run again"


def leave_out(config: pytest.Config, items: list[pytest.Item], passed: set[str]) -> None:
    """Deselect the tests that an interrupted run has done with."""
    done = [item for item in items if item.nodeid in passed]
    if done:
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item.nodeid not in passed]
