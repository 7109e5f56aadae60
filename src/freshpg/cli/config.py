"""``freshpg config``: every setting and where it came from."""

from __future__ import annotations

import os
from pathlib import Path

from freshpg.cli.command import command as make_command
from freshpg.cli.output import print_json, print_table


@make_command(
    "config",
    examples=(
        ("freshpg config", "every value, and the file and line or variable it came from"),
        ("FRESHPG_LINGER=0 freshpg config", "what a variable of the environment changes"),
    ),
)
def command(*, as_json: bool) -> None:
    """Show every setting and where it came from.

    Passwords are not shown.
    """
    from freshpg.core.settings import load_settings

    rows = load_settings(Path.cwd(), environment=os.environ).describe()
    if as_json:
        print_json(
            {
                "settings": [
                    {
                        "key": row.key,
                        "value": row.value,
                        "origin": row.origin.text,
                        "file": str(row.origin.path) if row.origin.path else None,
                        "line": row.origin.line,
                    }
                    for row in rows
                ]
            }
        )
        return
    print_table(
        ("setting", "value", "from"), ((row.key, row.value, str(row.origin)) for row in rows)
    )
