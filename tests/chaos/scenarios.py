"""What is interrupted: short programs that together make, use and remove everything freshpg makes.

Each runs in a child of a process that has freshpg imported (see ``nursery.py``), in a project of its own.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import psycopg

from freshpg.core.errors import FreshpgError
from freshpg.core.events import CloneMade
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin
from freshpg.provision.foreign import TEST_ROLE
from freshpg.provision.own import Variant
from freshpg.servers import relocation, storage
from freshpg.servers.keeper.client import Keeper
from freshpg.servers.providers.archive import unpack
from freshpg.status.ending import end_servers
from freshpg.status.standing import bring_up

DATABASES = {"main": {"name": "shop_test", "migrations": ["schema.sql"], "seed": ["seed.sql"]}}


def manager_of(linger=0.0, variant=None, **changes):
    changes.setdefault("databases", DATABASES)
    settings = Settings(root=Path.cwd(), linger=linger, **changes)
    return DatabaseManager(settings, variant=variant, holder="chaos")


def customers(database):
    with database.connect() as connection:
        return connection.execute("SELECT count(*) FROM customer").fetchone()[0]


def use(linger=0.0, **changes):
    """Start from whatever is in the cache, and use a clone."""
    with manager_of(linger, **changes) as manager, manager.lease(isolation="clone") as database:
        assert customers(database) == 1
        return {"how": manager.server.how}


def levels():
    """Every level that shares a server, a schema that cannot be repaired, and a database that is kept."""
    with manager_of() as manager:
        leaks = []
        for _ in range(3):
            with manager.lease(isolation="clone") as database:
                assert customers(database) == 1
                leaks.append(psycopg.connect(**database.conninfo.keywords()))
        for _ in range(2):
            with manager.lease(isolation="reset") as database:
                assert customers(database) == 1
                with database.connect() as connection:
                    connection.execute("ALTER TABLE customer ADD COLUMN left_behind int")
        with manager.lease(isolation="readonly") as database:
            assert customers(database) == 1
        for _ in range(2):
            with manager.lease(isolation="clone") as database:
                database.keep("to be looked at")
        for leak in leaks:
            leak.close()
    end_servers(None, force=True)


def changed():
    """A further migration: the image is made from the one before."""
    Path("seed.sql").write_text("INSERT INTO customer (name) VALUES ('Grace');\n")
    return use()


def warm():
    """Leave a server up, take it again, and end it."""
    manager = manager_of(linger=30.0)
    stocked = threading.Event()
    manager.events.subscribe(lambda event: isinstance(event, CloneMade) and stocked.set())
    manager.acquire(isolation="clone")
    # The first slot is out, so what stands ready has to move to the front when the manager stops.
    stocked.wait(20)
    manager.stop()
    use(linger=30.0)
    use()


def loopback():
    """A server for one program alone, reached over 127.0.0.1."""
    with manager_of(variant=Variant(tcp_port=0)) as manager, manager.lease() as database:
        assert customers(database) == 1


def successor():
    """The keeper is killed while a server is in use and another is being made."""
    with manager_of() as manager, manager.lease(isolation="clone") as database:
        kill_keeper()
        with manager.lease(isolation="server") as other:
            assert customers(other) == 1
        assert customers(database) == 1


def kill_keeper():
    keeper = Keeper.find(storage.keeper_root())
    if keeper:
        with keeper:
            os.kill(keeper.pid, signal.SIGKILL)
            while keeper.alive:
                os.sched_yield()


def programs():
    """Programs are copied for a user who cannot reach the original."""
    source = Path("install/bin")
    source.mkdir(parents=True, exist_ok=True)
    (source / "tool").write_text("#!/bin/sh\n")
    target = storage.programs_root(lambda _place: True) / "copied"
    relocation.copy_install([source.absolute()], target)
    assert (target / "bin" / "tool").is_file()


def archive():
    """PostgreSQL comes packed, and is unpacked into the cache."""
    import tarfile

    Path("postgresql-18.1-x").mkdir(exist_ok=True)
    with tarfile.open("postgresql-18.1-x.tar.gz", "w:gz") as packed:
        packed.add("postgresql-18.1-x")
    target = storage.cache_root() / "programs"
    assert unpack(Path("postgresql-18.1-x.tar.gz"), target).is_dir()


def damaged():
    """An image in the cache is cut short: it is put away and made again."""
    for pack in storage.cache_root().glob("images/*/data.pack"):
        # Never in place: other caches share the file.
        whole = pack.read_bytes()
        pack.unlink()
        pack.write_bytes(whole[: len(whole) // 2])
    return use()


def up_and_down():
    """A server for a person."""
    Path("freshpg.toml").write_text(
        '[databases.main]\nname = "shop_test"\nmigrations = ["schema.sql"]\nseed = ["seed.sql"]\n'
    )
    standing = bring_up(".", tcp=None, tell=lambda _event: None)
    with Admin.connect(standing.databases["main"]) as inside:
        assert inside.value("SELECT count(*) FROM customer") == 1
    end_servers(None, force=True)


def run_program():
    """A program with a fresh database."""
    from freshpg.cli import main

    Path("freshpg.toml").write_text(
        '[databases.main]\nname = "shop_test"\nmigrations = ["schema.sql"]\nseed = ["seed.sql"]\n'
    )
    with suppress(SystemExit):
        main(["run", "--", "true"])


def foreign():
    """Somebody else's server: templates, clones and the shared read-only database, all gone but templates."""
    with manager_of(server=os.environ["CHAOS_SERVER"], allow_create=True) as manager:
        for level in ("clone", "reset", "readonly", "clone"):
            with manager.lease(isolation=level) as database:
                assert customers(database) == 1
    return {"left": foreign_remains()}


def foreign_new():
    """The same where freshpg was never seen before."""
    if os.environ.get("CHAOS_ANEW"):
        with admin() as control:
            for (name,) in control.rows(
                "SELECT datname FROM pg_database WHERE datname ~ '^(freshpg|shop)'"
            ):
                control.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
                control.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            with suppress(FreshpgError):
                control.execute(f"DROP ROLE {TEST_ROLE}")
    return foreign()


def foreign_changed():
    """The same after the schema was changed: what others left half built has another name."""
    Path("schema.sql").write_text(
        Path("schema.sql").read_text() + "CREATE TABLE IF NOT EXISTS more ();\n"
    )
    return foreign()


def admin():
    from freshpg.core.conninfo import Conninfo

    return Admin.connect(Conninfo.parse(os.environ["CHAOS_SERVER"]).with_(dbname="postgres"))


def foreign_remains():
    """Whatever nobody needs any more on somebody else's server."""
    with admin() as control:
        databases = {name for (name,) in control.rows("SELECT datname FROM pg_database")}
        known = {"postgres", "template0", "template1", "freshpg_coordination", "shop_test_readonly"}
        left = sorted(name for name in databases - known if "_template_" not in name)
        left += [
            f"unsealed {name}"
            for (name,) in control.rows(
                "SELECT datname FROM pg_database WHERE datname ~ '_template_' AND datallowconn"
            )
        ]
        with Admin.connect(control.conninfo.with_(dbname="freshpg_coordination")) as inside:
            left += [
                f"intent {name}" for (name,) in inside.rows("SELECT name FROM freshpg.intents")
            ]
    return left


SCENARIOS = {
    each.__name__: each
    for each in (
        *(
            use,
            changed,
            levels,
            warm,
            loopback,
            successor,
            programs,
            archive,
            damaged,
            up_and_down,
            run_program,
        ),
        *(foreign, foreign_new, foreign_changed),
    )
}
