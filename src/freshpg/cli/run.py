"""``freshpg run``: any program, in any language, on a fresh database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freshpg.cli.child import missing_program, run_child
from freshpg.cli.command import command as make_command
from freshpg.cli.command import only_blueprint, override, print_progress
from freshpg.cli.output import print_json, say
from freshpg.cli.placeholders import Address, Assignment
from freshpg.core.faults import faultpoint

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.settings import Settings
    from freshpg.handle import Database
    from freshpg.manager import DatabaseManager


@make_command(
    "run",
    examples=(
        ("freshpg run -- pytest", "PG*, DATABASE_URL and FRESHPG_URL lead to a fresh database"),
        ("freshpg run -- npm test", "any language"),
        ("freshpg run -- sh -c 'psql -f seed.sql && ./report | wc -l'", "a shell's pipeline"),
        ("freshpg run --set TEST_DSN={url} -- go test ./...", "a variable of your program's"),
        ("freshpg run --tcp 0 --set DB_PORT={port} -- mvn test", "a port on 127.0.0.1"),
        ("freshpg run --isolation server -- ./replicate.sh", "a server of its own, as superuser"),
    ),
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--set",
    "assignments",
    metavar="NAME=TEMPLATE",
    multiple=True,
    help="Set one more variable; repeatable. Filled in are {url}, {host}, {port}, {user}, {password}, {database}, "
    "{socket} (its directory), and {url:asyncpg}, {url:sqlalchemy+psycopg}, {url:django}, {url:jdbc} and so on.",
)
@click.option(
    "--tcp",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Listen on 127.0.0.1 as well, with a random password; 0 takes a free port.",
)
@click.option("--superuser", is_flag=True, help="Connect as a superuser.")
@click.option("--database", metavar="NAME", help="Call the database so.")
@click.option(
    "--isolation", metavar="LEVEL", help="readonly, reset, clone, or server: one of its own."
)
@click.option("--blueprint", metavar="NAME", help="Which of the project's databases; main.")
@click.option("--keep", is_flag=True, help="Keep the database for inspection; see freshpg psql.")
@click.argument("cmd", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    cmd: tuple[str, ...],
    *,
    assignments: tuple[str, ...],
    tcp: int | None,
    superuser: bool,
    database: str | None,
    isolation: str | None,
    blueprint: str | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Run any program with a fresh database.

    CMD finds it through PGHOST, PGPORT, PGUSER, PGDATABASE, DATABASE_URL and FRESHPG_URL; afterwards it is removed. Standard streams and
    signals are the program's, its exit code is passed on (128 + n when signal n ended it). With --json a report
    is printed on standard error when it has ended.
    """
    from freshpg.isolation.levels import parse

    variables = [Assignment.parse(text) for text in assignments]
    _check_filling(variables, tcp=tcp is not None)
    if missing := missing_program(cmd[0]):
        say(str(missing))
        return int(missing.data["exit_code"])
    settings = _settings(blueprint, database=database, superuser=superuser)
    plan = only_blueprint(list(settings.databases), blueprint)
    level = parse(isolation or settings.database(plan).isolation)
    manager = _manager(settings, level, tcp=tcp)
    with manager, manager.lease(plan, isolation=level, test=" ".join(cmd)[:200]) as lent:
        environment = _environment(lent, manager, variables)
        code = run_child(cmd, environment)
        faultpoint("run.child_ended")
        # An interrupted or failed start of the child must not leave a kept database behind, so it is asked for here.
        kept = lent.keep(f"freshpg run --keep: {' '.join(cmd)[:200]}") if keep else ""
    _report(manager, lent, code=code, kept=kept, as_json=as_json)
    return code


def _settings(blueprint: str | None, *, database: str | None, superuser: bool) -> Settings:
    import os
    from pathlib import Path

    from freshpg.core.settings import load_settings

    # One database is asked for and nobody comes back for another: none is made ready in advance.
    options = override("run", stock=0)
    if not (database or superuser):
        return load_settings(Path.cwd(), environment=os.environ, overrides=options)
    known = load_settings(Path.cwd(), environment=os.environ)
    table = f"databases.{only_blueprint(list(known.databases), blueprint)}"
    options |= override("run --database", **{f"{table}.name": database})
    if superuser:
        options |= override("run --superuser", **{"superuser": True, f"{table}.superuser": True})
    return load_settings(Path.cwd(), environment=os.environ, overrides=options)


def _manager(settings: Settings, level: str, *, tcp: int | None) -> DatabaseManager:
    from freshpg.manager import DatabaseManager
    from freshpg.provision.own import Variant

    alone = level == "server"
    variant = None
    if alone or tcp is not None:
        variant = Variant(tcp_port=tcp, replicating=alone, purpose="run")
    manager = DatabaseManager(settings, holder="freshpg run", variant=variant)
    manager.events.subscribe(print_progress)
    return manager


def _check_filling(variables: list[Assignment], *, tcp: bool) -> None:
    """Raise now what filling in would raise when a server had been started for it."""
    from freshpg.core.conninfo import Conninfo

    host = "127.0.0.1" if tcp else "/socket"
    for variable in variables:
        variable.fill(Address(Conninfo(host, user="user", dbname="database"), "/socket"))


def _environment(
    lent: Database, manager: DatabaseManager, variables: list[Assignment]
) -> dict[str, str]:
    from freshpg.templates.migrations.child import environment_for

    conninfo: Conninfo = lent.conninfo
    address = Address(conninfo, manager.socket_directory)
    filled = {variable.name: variable.fill(address) for variable in variables}
    return {**environment_for(conninfo), **filled}


def _report(
    manager: DatabaseManager, lent: Database, *, code: int, kept: str, as_json: bool
) -> None:
    if kept:
        say(f"kept: freshpg psql {kept}")
    if not as_json:
        return
    ready = manager.server
    print_json(
        {
            "exit_code": code,
            "database": lent.name,
            "blueprint": lent.blueprint,
            "isolation": lent.isolation,
            "kept": kept,
            "server": {"provider": ready.provider, "version": ready.version, "how": ready.how}
            if ready
            else None,
            "seconds_to_database": manager.statistics.worst,
        },
        err=True,
    )
