"""``freshpg status``: which servers run, what is on them, who uses it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freshpg.cli.command import command as make_command
from freshpg.cli.output import bold, duration, faint, print_json, print_table, size
from freshpg.core.printable import plain, plain_line

if TYPE_CHECKING:
    from freshpg.core.settings import Settings
    from freshpg.status.servers import Contents, OwnServer


@make_command(
    "status",
    examples=(
        ("freshpg status", "this project's servers, databases and who holds them"),
        ("freshpg status --all", "those of every project of this user"),
        ("freshpg status --json | jq '.servers[].databases[].holders'", "for programs"),
    ),
)
@click.option("--all", "everywhere", is_flag=True, help="Every project's.")
def command(*, everywhere: bool, as_json: bool) -> None:
    """Show servers, databases and who holds them.

    With templates, connections and sizes, and since when a database is held. Starts nothing.
    """
    from freshpg.core.settings import load_settings
    from freshpg.status.servers import own_servers

    settings = load_settings(Path.cwd(), environment=os.environ)
    servers = [one for one in own_servers() if everywhere or one.project == str(settings.root)]
    foreign = _foreign(settings)
    if as_json:
        print_json(
            {
                "project": str(settings.root),
                "servers": [one.to_json() for one in servers],
                "foreign": foreign,
            }
        )
        return
    for server in servers:
        _show(server)
    if settings.conninfo is not None:
        click.echo(bold(f"{settings.conninfo.safe()}") + plain(f": {_foreign_words(foreign)}"))
    elif not servers:
        click.echo("no server runs; tests, freshpg run and freshpg up start one")


def _foreign(settings: Settings) -> dict[str, Any] | None:
    if settings.conninfo is None:
        return None
    from freshpg.status.servers import foreign_contents

    contents = foreign_contents(settings.conninfo)
    return {"address": settings.conninfo.safe(), **(contents.to_json() if contents else {})}


def _foreign_words(foreign: dict[str, Any] | None) -> str:
    if not foreign or "databases" not in foreign:
        return "nothing of freshpg is there"
    names = ", ".join(one["name"] for one in foreign["databases"])
    return (
        f"{foreign['connections']} connections; changes are found by: {foreign['audits']};"
        f" databases of freshpg: {names or 'none'}"
    )


def _show(server: OwnServer) -> None:
    click.echo(
        f"{bold(f'PostgreSQL {server.version}')} ({server.provider}), {plain_line(_use(server))}  "
        + faint(f"{server.project}  {server.coordination.host}")
    )
    if server.contents is None:
        click.echo(plain(f"  {server.problem or server.state}"))
        return
    contents = server.contents
    click.echo(
        f"  {contents.connections} connections, {size(contents.size)}; changes are found by: {contents.audits}"
    )
    print_table(
        ("database", "kind", "size", "connections", "held by"), _rows(server.contents), indent="  "
    )
    click.echo()


def _use(server: OwnServer) -> str:
    if server.in_use:
        return f"used by {server.owner['label'] or 'a process'}, pid {server.owner['pid']}"
    if server.state == "warm" and server.idle_left is not None:
        return f"idle, ends in {duration(server.idle_left)}"
    return server.state


def _rows(contents: Contents) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            one.mark.kind,
            size(one.size),
            str(one.connections),
            "; ".join(str(holder) for holder in one.holders),
        )
        for one in contents.databases
    ]
