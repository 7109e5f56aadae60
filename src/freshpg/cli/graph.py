"""``freshpg graph``: which table comes before which, and what goes with it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshpg.cli.command import command as make_command
from freshpg.cli.command import only_blueprint, override, print_progress
from freshpg.cli.output import print_json
from freshpg.core.printable import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings
    from freshpg.postgres.schema.fk_graph import FkGraph
    from freshpg.postgres.schema.model import Table

FORMATS = ("text", "json", "dot", "mermaid")


@make_command(
    "graph",
    examples=(
        ("freshpg graph", "in which order rows go in and out, and where tables form cycles"),
        ("freshpg graph --table customer", "what TRUNCATE customer CASCADE empties, and why"),
        ("freshpg graph --format dot | dot -Tsvg > graph.svg", "a picture, by Graphviz"),
        ("freshpg graph --format mermaid", "a picture in Markdown"),
        ("freshpg graph --database shop_test_failed_1", "of a database as a test left it"),
    ),
)
@click.option(
    "--table",
    "tables",
    metavar="NAME",
    multiple=True,
    help="Show what a truncation of this table reaches; repeatable.",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="text (the default), json, dot or mermaid."
)
@click.option("--blueprint", metavar="NAME", help="Which of the project's databases; main.")
@click.option(
    "--database", default="", metavar="NAME", help="One that exists, as freshpg psql finds it."
)
@click.option("--server", default="", metavar="ID", help="Which server, where several have it.")
def command(
    tables: tuple[str, ...],
    *,
    form: str | None,
    blueprint: str | None,
    database: str,
    server: str,
    as_json: bool,
) -> None:
    """Show how tables depend on each other.

    Tables are numbered: rows go in from the first number to the last, and out the other way. Of a cycle it says which
    foreign key can wait, or that rows must go in together. Without --database the schema is that of the project's
    migrations.
    """
    from freshpg.core.settings import load_settings
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.schema.fk_graph import FkGraph
    from freshpg.postgres.schema.reader import read_schema

    if as_json and form not in {None, "json"}:
        raise click.UsageError("--json and --format contradict each other.")
    if blueprint and database:
        raise click.UsageError("--blueprint and --database contradict each other.")
    settings = load_settings(
        Path.cwd(), environment=os.environ, overrides=override("graph", stock=0)
    )
    wanted = database or only_blueprint(list(settings.databases), blueprint)
    with _address(settings, wanted, server) as conninfo, Admin.connect(conninfo) as admin:
        schema = read_schema(admin)
    asked = [schema.table(name) for name in tables]
    if as_json or form == "json":
        _print_data(conninfo, FkGraph(schema), asked)
    else:
        click.echo(plain(_drawing(FkGraph(schema), asked, form or "text")))


@contextmanager
def _address(settings: Settings, wanted: str, server: str) -> Iterator[Conninfo]:
    from freshpg.manager import DatabaseManager
    from freshpg.status.lookup import find_database

    place = find_database(settings, wanted, server=server)
    if place is not None:
        yield place.conninfo
        return
    manager = DatabaseManager(settings, holder="freshpg graph")
    manager.events.subscribe(print_progress)
    with manager, manager.lease(wanted, isolation="readonly", test="freshpg graph") as lent:
        yield lent.conninfo


def _print_data(conninfo: Conninfo, graph: FkGraph, asked: list[Table]) -> None:
    from freshpg.postgres.schema.plain_data import order_data, reach_data

    truncation = {"truncation": reach_data(graph, asked)} if asked else {}
    print_json({"database": conninfo.dbname, **order_data(graph), **truncation})


def _drawing(graph: FkGraph, asked: list[Table], form: str) -> str:
    from freshpg.postgres.schema import drawing, outline

    if form == "text":
        return outline.reach_text(graph, asked) if asked else outline.order_text(graph)
    draw = drawing.dot if form == "dot" else drawing.mermaid
    return draw(graph, graph.reach(asked) if asked else None)
