"""``freshpg doctor``: can a test get its database here, and from where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.output import bold, mark, print_json, print_table, say
from freshpg.core.printable import plain, plain_line

if TYPE_CHECKING:
    from freshpg.core.settings import Settings
    from freshpg.status.diagnosis import Diagnosis


@make_command(
    "doctor",
    examples=(
        ("freshpg doctor", "which server is used and why; storage, user, keeper, cache"),
        ("FRESHPG_SERVER=system freshpg doctor", "what another setting would lead to"),
        ("freshpg doctor --leftovers", "what is freshpg's and belongs to nobody who lives"),
        ("freshpg doctor --json", "for a bug report or a script"),
    ),
)
@click.option(
    "--leftovers",
    is_flag=True,
    help="Only name what killed runs left: processes, sockets, files, shared memory, databases.",
)
def command(*, leftovers: bool, as_json: bool) -> int:
    """Say which PostgreSQL is used, and if all is well.

    Looks at everything a start depends on, and at the servers of the project that run: templates, leases, connections,
    clock, room; starts, makes and changes nothing. Exit code 3 when no server is to be had, 2 when the settings are not
    valid, 1 when something else is wrong or, with --leftovers, was left.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.diagnosis import examine

    settings = load_settings(Path.cwd(), environment=os.environ)
    if leftovers:
        return _leftovers(settings, as_json=as_json)
    diagnosis = examine(settings)
    if as_json:
        print_json(
            {
                "good": diagnosis.good,
                "project": str(settings.root),
                "settings": "valid",
                "findings": [one.to_json() for one in diagnosis.findings],
                "error": diagnosis.error.to_json() if diagnosis.error else None,
            }
        )
    else:
        _show(diagnosis, settings.root)
    if diagnosis.error is not None:
        if not as_json:
            say(f"\n{diagnosis.error}")
        return exits.code_for(diagnosis.error)
    return exits.DONE if diagnosis.good else exits.FAILED


def _leftovers(settings: Settings, *, as_json: bool) -> int:
    from freshpg.status.leftovers import left_now

    found = left_now(settings)
    if as_json:
        print_json({"good": not found, "leftovers": [one.to_json() for one in found]})
    elif not found:
        click.echo("nothing is left")
    else:
        print_table(("what", "name", "more"), [(one.kind, one.name, one.detail) for one in found])
        say(
            "freshpg clean --yes removes what is provably freshpg's own; the rest is yours to judge"
        )
    return exits.FAILED if found else exits.DONE


def _show(diagnosis: Diagnosis, root: Path) -> None:
    valid = plain_line(str(root))
    click.echo(f"{bold('settings')}\n  {mark(good=True)} {valid}: valid; freshpg config shows them")
    topic = ""
    for one in diagnosis.findings:
        if one.topic != topic:
            topic = one.topic
            click.echo(bold(topic))
        sign = click.style("!", fg="yellow") if one.verdict == "warning" else mark(one.good)
        click.echo(f"  {sign} {plain_line(one.name)}: {plain(one.text)}")
        if one.remedy:
            click.echo(f"      do: {plain(one.remedy)}")
