"""The command ``freshpg``: words for the manager's layer, no logic of its own. One file a command."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from freshpg.cli import (
    bench,
    clean,
    completion,
    config,
    demo,
    doctor,
    down,
    graph,
    psql,
    run,
    status,
    templates,
    tenants,
    up,
)
from freshpg.cli.command import Commands
from freshpg.cli.exits import INTERRUPTED, USAGE
from freshpg.cli.output import wants_color
from freshpg.core.conninfo import REDIRECTING_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]


@click.group(
    cls=Commands,
    examples=(
        ("freshpg run -- pytest", "any program, in any language, on a fresh database"),
        ("freshpg psql", "look around in one"),
        ("freshpg demo", "see a whole test suite run, measured"),
        ("freshpg doctor", "which PostgreSQL is used, and why"),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="freshpg", prog_name="freshpg")
def app() -> None:
    """A fresh PostgreSQL database for every test.

    Every command takes --json. Exit codes: 0 done, 1 the thing itself failed, 2 usage, 3 environment, 130 Ctrl-C;
    run and psql pass on the exit code of the program they start.
    """


for command in (
    demo,
    run,
    psql,
    up,
    down,
    status,
    templates,
    tenants,
    graph,
    bench,
    clean,
    doctor,
    config,
    completion,
):
    app.add_command(command.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for name in REDIRECTING_VARIABLES:
        # libpq would follow them with our own connections, whatever address we give it.
        os.environ.pop(name, None)
    try:
        code = app.main(
            args=None if arguments is None else list(arguments),
            prog_name="freshpg",
            standalone_mode=False,
            color=wants_color(os.environ),
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough: head, less. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return int(code or 0)
