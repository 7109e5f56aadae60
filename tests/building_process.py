"""Processes of their own that ask for a template; imported by name, so that a fork server can find it."""

from __future__ import annotations

from multiprocessing import get_context
from typing import TYPE_CHECKING

from freshpg.postgres.admin import Admin
from freshpg.templates.blueprint import Blueprint
from freshpg.templates.builder import BuildSite, TemplateBuilder

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from freshpg.core.conninfo import Conninfo


def work(pipe: Connection, conninfo: Conninfo, root: Path, migrations: tuple[str, ...]) -> None:
    """Connect, say so, wait for the word, and answer with the template's name and how it was had."""
    site = BuildSite(own=False, tests=conninfo.with_(user="postgres"))
    blueprint = Blueprint("main", "shop_test", migrations, root=root)
    with Admin.connect(conninfo, application_name="freshpg builder under test") as admin:
        pipe.send("ready")
        pipe.recv()
        template = TemplateBuilder(admin, site).ensure(blueprint)
        pipe.send((template.name, template.how))


class BuilderProcess:
    """One such process, from the outside."""

    def __init__(self, conninfo: Conninfo, root: Path, *migrations: str) -> None:
        # Forked from a server that has everything imported: two dozen interpreters would take half a minute.
        context = get_context("forkserver")
        # pytest, because the main module of this process is imported again in every other one.
        context.set_forkserver_preload(["psycopg", "pytest", "freshpg.templates.builder"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, conninfo, root, migrations))
        self.process.start()
        theirs.close()

    def go(self) -> None:
        """Let it ask for its template, once it is connected."""
        assert self.pipe.recv() == "ready"
        self.pipe.send("go")

    def result(self) -> tuple[str, str]:
        """Return name and how."""
        return self.pipe.recv()

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.join()
