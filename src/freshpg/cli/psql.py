"""``freshpg psql``: look into a database."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from freshpg.cli import exits
from freshpg.cli.child import run_child
from freshpg.cli.command import command as make_command
from freshpg.cli.command import only_blueprint, override, print_progress
from freshpg.cli.output import print_json, say

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings


@make_command(
    "psql",
    examples=(
        (
            "freshpg psql",
            "the project's database: the one freshpg up left running, else a fresh one",
        ),
        (
            "freshpg psql shop_test_failed_1",
            "the database of a failed test, kept by --pg-keep-failed",
        ),
        ("freshpg psql shop_test", "the one a test is using now"),
        ("freshpg psql -- -c '\\dt'", "words after -- are psql's"),
    ),
)
@click.option("--server", default="", metavar="ID", help="Which server, where several have it.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[NAME] [-- ARGS...]")
def command(words: tuple[str, ...], *, server: str, as_json: bool) -> int:
    """Open psql on a database of the project.

    NAME is a kept database, one in use by a test, or a blueprint: the one freshpg up left running, else a fresh one.
    With --json print where an existing database is instead.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.lookup import find_database

    settings = load_settings(
        Path.cwd(), environment=os.environ, overrides=override("psql", stock=0)
    )
    name, arguments = _split(words)
    wanted = name or only_blueprint(list(settings.databases), None)
    place = find_database(settings, wanted, server=server)
    if as_json:
        found = place and {
            "database": place.conninfo.dbname,
            "server": place.server,
            "what": place.what,
            "url": place.conninfo.safe(),
        }
        print_json({"found": found})
        return exits.DONE if found else exits.FAILED
    program = _psql(settings)
    if place is None:
        return _open_fresh(settings, wanted, program, arguments)
    if program is None:
        return _no_psql(place.conninfo)
    return _become(program[0], arguments, _environment(place.conninfo, program[1]))


def _split(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Tell the name from psql's own words, which begin with a dash; the ``--`` before them click has taken away."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    return "", words


def _psql(settings: Settings) -> tuple[str, dict[str, str]] | None:
    """Return psql and the variables it needs: the server's own version, else the one in PATH."""
    from freshpg.core.errors import FreshpgError
    from freshpg.provision.session import choose

    try:
        binaries = choose(settings).binaries
    except FreshpgError:
        binaries = None
    if binaries is not None and os.access(binaries.program("psql"), os.X_OK):
        return str(binaries.program("psql")), binaries.environment()
    found = shutil.which("psql")
    return (found, {}) if found else None


def _become(program: str, arguments: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    """Let psql take our place: nothing is to be cleaned up afterwards."""
    os.execve(program, [program, *arguments], environment)  # noqa: S606


def _environment(conninfo: Conninfo, needed: dict[str, str]) -> dict[str, str]:
    from freshpg.templates.migrations.child import environment_for

    return {**environment_for(conninfo), **needed}


def _open_fresh(
    settings: Settings,
    blueprint: str,
    program: tuple[str, dict[str, str]] | None,
    arguments: tuple[str, ...],
) -> int:
    from freshpg.manager import DatabaseManager

    if program is None:
        return _no_psql(None)
    manager = DatabaseManager(settings, holder="freshpg psql")
    manager.events.subscribe(print_progress)
    with manager, manager.lease(blueprint, test="freshpg psql") as lent:
        return run_child([program[0], *arguments], _environment(lent.conninfo, program[1]))


def _no_psql(conninfo: Conninfo | None) -> int:
    say("freshpg psql: there is no psql, neither beside the server's programs nor in PATH")
    say("  do: 1. Debian, Ubuntu: apt-get install postgresql-client; macOS: brew install libpq")
    if conninfo is not None:
        say(f"      2. or use another client: {conninfo.safe()}")
    return exits.ENVIRONMENT
