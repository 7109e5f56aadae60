"""What all commands share: help that begins with examples, ``--json``, ``--debug``, errors as their block."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from freshpg.cli import exits
from freshpg.cli.output import print_json, say
from freshpg.core.errors import FreshpgError
from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freshpg.core.events import Event

Examples = tuple[tuple[str, str], ...]
"""Command lines, each with what it does."""


class _Helpful:
    """Writes examples before everything else in a command's help."""

    examples: Examples = ()

    def write_examples(self, formatter: click.HelpFormatter) -> None:
        """Write them as a list of two columns."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(self.examples, col_max=46)


class ExampleCommand(_Helpful, click.Command):
    """A command with examples."""

    def __init__(self, *args: Any, examples: Examples = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, examples, what it does, options."""
        self.format_usage(ctx, formatter)
        self.write_examples(formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


class Commands(_Helpful, click.Group):
    """The commands, in the order they were added."""

    def __init__(self, *args: Any, examples: Examples = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order of use, not of the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; an unknown one is answered with the nearest."""
        name = click.utils.make_str(args[0])
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from freshpg.core.settings.origin import nearest

            near = nearest(name, list(self.commands))
            hint = f" Did you mean {near}?" if near else f" There are: {', '.join(self.commands)}."
            raise click.UsageError(f"No such command: {name}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, examples, what it is, options, commands."""
        self.format_usage(ctx, formatter)
        self.write_examples(formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


def command(
    name: str, *, examples: Examples, **options: Any
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function that takes ``as_json`` and returns its exit code (None: 0)."""

    def decorate(function: Callable[..., int | None]) -> click.Command:
        made: click.Command = click.command(name, cls=ExampleCommand, examples=examples, **options)(
            _JSON(_DEBUG(_reporting(function)))
        )
        return made

    return decorate


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def _reporting(function: Callable[..., int | None]) -> Callable[..., int]:
    @functools.wraps(function)
    def call(*args: Any, as_json: bool, debug: bool, **options: Any) -> int:
        from freshpg.servers.shortage import shortages_named

        try:
            with shortages_named("a command was carried out"):
                return function(*args, as_json=as_json, **options) or exits.DONE
        except FreshpgError as error:
            _write_down(error)
            if debug:
                raise
            if as_json:
                print_json({"error": error.to_json()})
            say(str(error))
            return exits.code_for(error)

    return call


def _write_down(error: FreshpgError) -> None:
    """Write it into the project's log; where there is no project to be found, there is none."""
    import os
    from pathlib import Path

    from freshpg.core.settings import load_settings
    from freshpg.supervision.noting import log_of, note

    words = click.get_current_context().command_path
    with suppress(FreshpgError, OSError):
        settings = load_settings(Path.cwd(), environment=os.environ)
        note(log_of(settings, who=words), error)


def print_progress(event: Event) -> None:
    """Tell a waiting person what goes on; subscribe it to a manager's events."""
    from freshpg.core.events import Progress

    if isinstance(event, Progress):
        say(redact(f"freshpg: {event.text}"))


def override(origin: str, **values: Any) -> dict[str, tuple[Any, str]]:
    """Return settings given on the command line, for ``load_settings``; None counts as not given."""
    return {key: (value, f"freshpg {origin}") for key, value in values.items() if value is not None}


def only_blueprint(names: Sequence[str], wanted: str | None) -> str:
    """Return the blueprint meant when none was named: ``main``, else the only one there is."""
    if wanted:
        return wanted
    if "main" in names or len(names) != 1:
        return "main"
    return names[0]
