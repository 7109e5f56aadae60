"""The kind ``eventsourcing:module:Application``: the tables of an event-sourced application, in a process of its own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from freshpg.core.errors import MigrationFailed, MigrationMissing
from freshpg.postgres.admin import Admin
from freshpg.templates.digests import digest
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.python import run_python
from freshpg.templates.migrations.sources import (
    digest_files,
    find_module,
    import_closure,
    search_path,
)

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

_USER_TABLES = """
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


@dataclass(frozen=True, slots=True)
class EventsourcingStep:
    """The tables that an application of the library ``eventsourcing`` creates when it starts.

    What is named may be an application's class, a ``System``, a function that returns an application, or an application
    made when its module is imported.
    """

    spec: str
    module: str
    name: str
    root: Path

    def parts(self) -> tuple[EventsourcingStep, ...]:
        """Return itself."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return the digests of the module and of what it imports from the project, and the library's version.

        Raises:
            MigrationMissing: There is no such module, or the library is not installed.
        """
        version = _installed(self.spec)
        file = find_module(self.module, search_path(self.root))
        if file is None:
            raise MigrationMissing(
                "the module of an event-sourced application was looked for",
                on=self.spec,
                seen=f"there is no {self.module.replace('.', '/')}.py in {self.root}, its src, or where Python looks",
                todo=(
                    "write it as eventsourcing:package.module:Application",
                    "install the project: pip install -e .",
                ),
                step=self.spec,
            )
        files = digest_files(import_closure(file, self.module, self.root), self.root)
        return StepInputs(fixed=(Input(self.spec, digest(self.name, version)), *files))

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Start the application on the database and close it again.

        Raises:
            MigrationFailed: It raised, or it went to another store.
            MigrationTimedOut: It did not start in time and was killed.
        """
        job = {"module": self.module, "name": self.name}
        run_python("eventsourcing", self.spec, job, target, deadline, directory=self.root)
        with closing(Admin.connect(target.conninfo)) as database:
            if database.value(_USER_TABLES):
                return
        raise MigrationFailed(
            f"{self.spec} started well, yet our database holds no table",
            on=self.spec,
            seen="the application keeps its events elsewhere: it passes an env of its own, or overrides construct_env()",
            todo=(
                "let PERSISTENCE_MODULE and POSTGRES_… come from the environment",
                "name a function that returns the application for the env it is given",
            ),
            step=self.spec,
        )


def _installed(spec: str) -> str:
    try:
        return metadata.version("eventsourcing")
    except metadata.PackageNotFoundError:
        raise MigrationMissing(
            "the library eventsourcing was looked for",
            on=spec,
            seen="it is not installed",
            todo=("pip install 'freshpg[eventsourcing]'",),
            step=spec,
        ) from None
