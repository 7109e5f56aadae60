"""``freshpg clean``: what nobody needs any more."""

from __future__ import annotations

import os
from pathlib import Path

import click

from freshpg.cli import exits
from freshpg.cli.command import command as make_command
from freshpg.cli.output import mark, print_json, print_table, say, size


@make_command(
    "clean",
    examples=(
        ("freshpg clean", "what would be removed, and why; changes nothing"),
        ("freshpg clean --yes", "remove it"),
        ("freshpg clean --images --yes", "every cached image as well: the next run migrates again"),
    ),
)
@click.option("--yes", is_flag=True, help="Remove it; without, nothing is changed.")
@click.option("--images", is_flag=True, help="Every image of the cache, not only old ones.")
def command(*, yes: bool, images: bool, as_json: bool) -> int:
    """Remove what nobody needs any more.

    Without --yes it is only shown. Directories of the dead, databases whose holder is provably gone, databases kept for inspection, images over
    the bounds of the settings, copies of PostgreSQL's programs that match none found any more, and places of killed demos. Only what carries freshpg's mark is ever touched.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.remains import clean

    settings = load_settings(Path.cwd(), environment=os.environ)
    found = clean(settings, every_image=images, do_it=yes)
    failed = yes and not all(one.done for one in found)
    if as_json:
        print_json({"removed": yes, "found": [one.to_json() for one in found]})
    elif not found:
        click.echo("nothing to remove")
    else:
        rows = [
            (
                mark(one.done if yes else None),
                one.kind,
                one.name,
                size(one.size) if one.size else "",
                one.why,
            )
            for one in found
        ]
        print_table(("", "what", "name", "size", "why"), rows)
        for one in found:
            if one.error:
                say(one.error)
        if not yes:
            click.echo("nothing was changed; remove it with: freshpg clean --yes")
    return exits.FAILED if failed else exits.DONE
