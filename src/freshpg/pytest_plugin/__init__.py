"""The pytest plugin: options, marker, fixtures and report lines; the logic is the manager's.

pytest imports this module in every run, so it imports pytest alone, and what it needs to know of our fixtures and
options; everything else comes with the first database.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from freshpg.pytest_plugin.again import ATTEMPT, Attempt, note_phase, status_of
from freshpg.pytest_plugin.fixtures import (
    pg,
    pg_aconn,
    pg_aengine,
    pg_asession,
    pg_asyncpg,
    pg_class,
    pg_conn,
    pg_data,
    pg_databases,
    pg_engine,
    pg_faulty,
    pg_module,
    pg_package,
    pg_run,
    pg_session,
    pg_session_factory,
    pg_tenants,
    pg_tenants_async,
    pg_tenants_class,
    pg_tenants_manager,
    pg_tenants_module,
    pg_tenants_options,
    pg_tenants_package,
    pg_tenants_run,
)
from freshpg.pytest_plugin.options import MARKER, add_options, check_options
from freshpg.pytest_plugin.resume import Reports
from freshpg.pytest_plugin.run import RUN, Run

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "pg",
    "pg_aconn",
    "pg_aengine",
    "pg_asession",
    "pg_asyncpg",
    "pg_class",
    "pg_conn",
    "pg_data",
    "pg_databases",
    "pg_engine",
    "pg_faulty",
    "pg_module",
    "pg_package",
    "pg_run",
    "pg_session",
    "pg_session_factory",
    "pg_tenants",
    "pg_tenants_async",
    "pg_tenants_class",
    "pg_tenants_manager",
    "pg_tenants_module",
    "pg_tenants_options",
    "pg_tenants_package",
    "pg_tenants_run",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Give our options one group of their own."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Check what can be checked without a server."""
    config.addinivalue_line("markers", MARKER)
    check_options(config)
    run = config.stash[RUN] = Run(config)
    if not run.worker:
        run.reports = Reports(run, begun=time.time())
        config.pluginmanager.register(run.reports, "freshpg-reports")
    if any(config.pluginmanager.hasplugin(name) for name in ("django", "pytest_django.plugin")):
        from freshpg.pytest_plugin import django

        django.activate(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Say what would be used; nothing is started."""
    from freshpg.pytest_plugin.report import header

    return header(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``--pg-resume`` need not run again."""
    if config.getoption("pg_resume"):
        from freshpg.pytest_plugin.resume import leave_out

        leave_out(config, items, config.stash[RUN].already)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,  # noqa: ARG001 (pytest passes by name)
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse markers that cannot work, where they are collected."""
    report = yield
    collected = report.result if report.passed else ()
    if any(isinstance(one, pytest.Item) and one.get_closest_marker("pg") for one in collected):
        from freshpg.pytest_plugin.marker import check_collected

        return check_collected(report)
    return report


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Run a test once more when its server was lost under it; nearest to the test, so that what others wrap holds."""
    attempt = item.stash[ATTEMPT] = Attempt()
    try:
        done = yield
        if attempt.first:
            from freshpg.pytest_plugin.again import run_again

            run_again(item.config.stash[RUN], item, nextitem, attempt)
    finally:
        del item.stash[ATTEMPT]
    return done


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Under ``--pg-strict``, note what other tests' fixtures have open in tenant pools that the test shares."""
    lending = item.config.stash[RUN].begun
    if lending is not None and lending.is_strict:
        lending.pools.watch(item)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Under ``--pg-strict``, look for what the test left open in them."""
    done = yield
    lending = item.config.stash[RUN].begun
    if lending is not None and lending.is_strict:
        lending.pools.require_tidy(item)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show our errors as short blocks, say whose failure it is, and keep the database of a failed test."""
    is_ours = call.excinfo is not None and _is_ours(call.excinfo.value)
    if is_ours:
        from freshpg.pytest_plugin.blocks import hide_our_frames

        hide_our_frames(call.excinfo)
    report = yield
    run = item.config.stash[RUN]
    if is_ours:
        from freshpg.pytest_plugin.blocks import shorten

        shorten(report, call.excinfo, run.told)
    # What fails in a process that never used freshpg is none of its business.
    if report.failed and call.excinfo is not None and (is_ours or _is_used()):
        from freshpg.pytest_plugin.troubles import judge

        judge(run, item, report, call.excinfo.value)
    if attempt := item.stash.get(ATTEMPT, None):
        note_phase(attempt, report)
    if run.begun is not None:
        if run.begun.has_used_databases:
            report.freshpg_database = True  # type: ignore[attr-defined]
        if report.when == "call":
            run.begun.keep_if_wanted(item, report)
    return report


def _is_ours(error: BaseException) -> bool:
    errors = sys.modules.get("freshpg.core.errors")
    return errors is not None and isinstance(error, errors.FreshpgError)


def _is_used() -> bool:
    return "freshpg.manager" in sys.modules


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
    """Show a test that is run again as that."""
    return status_of(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give everything back, once the last fixture is torn down; a worker sends what it counted."""
    run = session.config.stash[RUN]
    if run.begun is not None:
        run.begun.stop()
    if run.worker and run.account:
        session.config.workeroutput["freshpg"] = run.account  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001 (pytest passes by name)
    """Take what a worker of xdist counted; one that crashed had nobody left to send it."""
    account = getattr(node, "workeroutput", {}).get("freshpg")
    if account:
        node.config.stash[RUN].accounts.append(account)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was handed out and what was kept."""
    run = config.stash[RUN]
    if run.has_something_to_say:
        from freshpg.pytest_plugin.report import write_summary

        write_summary(terminalreporter, run)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what an interrupted session left."""
    run = config.stash.get(RUN, None)
    if run is not None:
        run.end()
