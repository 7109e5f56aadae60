"""``freshpg bench``: what isolation costs on the project's own schema, and the proof that it holds there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.command import only_blueprint, print_progress
from freshpg.cli.output import bold, duration, faint, mark, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.bench.proof import Proof
    from freshpg.bench.report import Report
    from freshpg.bench.timing import Figures


@make_command(
    "bench",
    examples=(
        ("freshpg bench", "what each level costs on this schema, and that it isolates"),
        ("freshpg bench --seconds 60", "the same with more cycles behind each figure"),
        ("freshpg bench --json > bench.json", "to compare one day with another"),
    ),
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=10.0,
    show_default=True,
    help="How long to measure, once there is a server.",
)
@click.option("--blueprint", metavar="NAME", help="Which of the project's databases; main.")
def command(*, seconds: float, blueprint: str | None, as_json: bool) -> int:
    """Measure isolation on your schema, and prove it.

    A test here is one statement: a row that was found to fit some table, else a query. Then a leased database is
    changed in several ways, reset, and compared whole with its template. The exit code is 1 when a change was not
    undone, or none could be tried. Nothing is left behind.
    """
    from freshpg.bench.report import measure
    from freshpg.core.settings import load_settings
    from freshpg.manager import DatabaseManager

    settings = load_settings(Path.cwd(), environment=os.environ)
    plan = only_blueprint(list(settings.databases), blueprint)
    manager = DatabaseManager(settings, holder="freshpg bench")
    manager.events.subscribe(print_progress)
    with manager:
        report = measure(manager, plan, seconds=seconds)
        ready = manager.server
    server = f"PostgreSQL {ready.version} ({ready.provider})" if ready else ""
    if as_json:
        print_json({"server": server, **report.to_json()})
    else:
        _print(report, server)
    return exits.DONE if report.holds else exits.FAILED


def _print(report: Report, server: str) -> None:
    click.echo(f"{bold(report.blueprint)}: {report.tables} tables, {server}")
    click.echo(faint(f"a test here: {report.work.statement}"))
    click.echo("")
    header = ("level", "hand-out", "give-back", "a test", "quartiles", "work", "cycles")
    figures = (report.plain, *report.levels)
    print_table(header, [_line(one) for one in figures if one.cycles])
    for one in figures:
        if not one.cycles:
            click.echo(f"{one.name}: not here: {one.refused}")
    click.echo(f"\nclones: {report.clones:.0f} a second")
    click.echo(f"\n{bold('proof')}: changed, reset, compared whole")
    for proof in report.proofs:
        click.echo("\n".join(_lines(proof)))
    click.echo(f"\n{report.undone} of {report.tried} kinds of change were undone")


def _line(figures: Figures) -> tuple[str, ...]:
    return (
        figures.name,
        _time(figures.hand_out),
        _time(figures.give_back),
        _time(figures.per_test),
        " to ".join(map(_time, figures.quartiles)),
        _time(figures.work),
        str(figures.cycles),
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else duration(seconds)


def _lines(proof: Proof) -> Iterator[str]:
    if proof.undone is None:
        yield f"  {mark(None)} {proof.kind}: not tried: {proof.remark}"
        return
    outcome = f"{proof.how}, {_time(proof.seconds)}" if proof.undone else "NOT UNDONE"
    yield f"  {mark(proof.undone)} {proof.kind}: {outcome}"
    for line in proof.remark.splitlines():
        yield f"      {line}"
