"""``freshpg down``: end servers of ours."""

from __future__ import annotations

import os
from pathlib import Path

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.output import print_json, say
from freshpg.core.printable import plain


@make_command(
    "down",
    examples=(
        ("freshpg down", "end this project's servers: those left up, and idle ones"),
        ("freshpg down --all", "those of every project"),
        ("freshpg down --force", "also those that a test run is using now"),
    ),
)
@click.option("--all", "everywhere", is_flag=True, help="Every project's.")
@click.option("--force", is_flag=True, help="Also those in use.")
def command(*, everywhere: bool, force: bool, as_json: bool) -> int:
    """End servers that freshpg started.

    All that is on them goes too. Servers in use by a living process stay, unless --force is given. Somebody else's server is never touched.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.ending import end_servers

    project = None if everywhere else load_settings(Path.cwd(), environment=os.environ).root
    ended = end_servers(project, force=force)
    if as_json:
        print_json(ended.to_json())
    else:
        for server in ended.stopped:
            click.echo(plain(f"ended {server.provider} {server.version} of {server.project}"))
        for server in ended.in_use:
            say(
                f"in use by {server.owner['label'] or 'a process'}, pid {server.owner['pid']}: {server.project}"
            )
        for complaint in ended.left:
            say(f"could not be removed: {complaint}")
        if not (ended.stopped or ended.in_use):
            click.echo("no server runs")
    return exits.FAILED if ended.left or ended.in_use else exits.DONE
