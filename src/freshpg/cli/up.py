"""``freshpg up``: a server with the project's databases that stays."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freshpg.cli.command import command as make_command
from freshpg.cli.command import print_progress
from freshpg.cli.output import print_json, say

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.status.readiness import Readiness
    from freshpg.status.standing import Standing


@make_command(
    "up",
    examples=(
        ("freshpg up", "a server with all of the project's databases; prints their addresses"),
        ('eval "$(freshpg up)"', "PG*, DATABASE_URL and FRESHPG_URL of the first, in this shell"),
        ("freshpg up --tcp 5440", "also on 127.0.0.1, with a random password"),
        ("freshpg up --health-port 8089", "and answer on 127.0.0.1:8089 whether it is ready"),
        ("freshpg down", "end it"),
    ),
)
@click.option(
    "--tcp",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=0,
    default=None,
    metavar="[PORT]",
    help="Listen on 127.0.0.1 as well, with a random password; without PORT on one that is free.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=None,
    metavar="PORT",
    help="Stay, and answer on http://127.0.0.1:PORT/ with 200 when all is well, else 503; 0 for a port that is free.",
)
def command(*, tcp: int | None, health_port: int | None, as_json: bool) -> None:
    """Start a server and leave it up until freshpg down.

    It has a database of each blueprint and is nobody else's: test runs use servers of their own. When the project has one up already, its addresses are
    printed again; when its migrations changed since, it is replaced by a new one, and what was in its databases goes.

    With --health-port it stays in the foreground; the server outlives it until freshpg down.
    """
    from freshpg.status.standing import bring_up

    # Before the server: with a port that cannot be had, nothing is started.
    readiness = None if health_port is None else _readiness(health_port)
    try:
        standing = bring_up(".", tcp=tcp, tell=print_progress)
    except BaseException:
        if readiness is not None:
            readiness.give_up()
        raise
    if as_json:
        health = {"health": readiness.url} if readiness else {}
        print_json({**standing.to_json(), "databases": _addresses(standing.databases), **health})
    else:
        _show(standing)
    if readiness is not None:
        say(f"health: {readiness.url}")
        with suppress(KeyboardInterrupt):
            readiness.serve()
        say("the server stays up; freshpg down ends it")


def _readiness(port: int) -> Readiness:
    from freshpg.core.settings import load_settings
    from freshpg.status.healths import standing_health
    from freshpg.status.readiness import Readiness

    settings = load_settings(Path.cwd(), environment=os.environ)
    return Readiness(lambda: standing_health(settings), port)


def _show(standing: Standing) -> None:
    for blueprint, conninfo in standing.databases.items():
        say(f"{blueprint}: {conninfo.url()}")
    first = next(iter(standing.databases.values()))
    for name, value in first.environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _addresses(databases: dict[str, Conninfo]) -> dict[str, Any]:
    return {
        blueprint: {"url": conninfo.url(), "environment": conninfo.environment()}
        for blueprint, conninfo in databases.items()
    }
