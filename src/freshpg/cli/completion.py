"""``freshpg completion``: what a shell has to read to complete our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from freshpg.cli.command import command as make_command
from freshpg.cli.output import print_json


@make_command(
    "completion",
    examples=(
        ('eval "$(freshpg completion bash)"', "in ~/.bashrc"),
        ('eval "$(freshpg completion zsh)"', "in ~/.zshrc"),
        ("freshpg completion fish > ~/.config/fish/completions/freshpg.fish", "once"),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, *, shell: str, as_json: bool) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (click knows all three)
    # source() would run the shell to ask for its version; the text is the same for all that are in use.
    completion = kind(ctx.find_root().command, {}, "freshpg", "_FRESHPG_COMPLETE")
    script = completion.source_template % completion.source_vars()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
