"""The kind ``django``: ``migrate`` of a Django project, in a process of its own."""

from __future__ import annotations

import ast
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import MigrationMissing
from freshpg.templates.digests import digest
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.python import run_python
from freshpg.templates.migrations.sources import (
    digest_files,
    find_module,
    import_closure,
    search_path,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

_SETTINGS = re.compile(r"""["']DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")

_ROUTERS = "DATABASE_ROUTERS"


@dataclass(frozen=True, slots=True)
class DjangoStep:
    """``migrate`` of one database of a project's settings, as routers allow it, pointed to our database.

    The settings module is the one named, else ``DJANGO_SETTINGS_MODULE``, else what ``manage.py`` sets.
    """

    spec: str
    named: str
    root: Path
    alias: str = "default"

    def parts(self) -> tuple[DjangoStep, ...]:
        """Return itself: Django knows what it has applied."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return settings, models without migrations and distributions as fixed, the project's migrations as a history.

        Migrations of installed apps come with their distributions: any upgrade makes a new template. Settings are read
        with the modules of the project that they import, and with their routers, which say what is migrated where.

        Raises:
            MigrationMissing: No settings module, or Django is not installed.
        """
        _require_django(self.spec)
        module = self._settings()
        file = find_module(module, search_path(self.root))
        if file is None:
            raise _missing(self.spec, f"there is no module {module} in {self.root}")
        sources = [one for one in walk(self.root) if one.suffix == ".py"]
        migrations = [one for one in sources if one.parent.name == "migrations"]
        fixed = {*self._settings_files(file, module), *filter(_describes_tables, sources)}
        return StepInputs(
            fixed=(
                Input(self.spec, digest(module, *_distributions())),
                *digest_files(sorted(fixed), self.root),
            ),
            history=digest_files(migrations, self.root),
        )

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Migrate.

        Raises:
            MigrationFailed: A migration or the settings raised.
            MigrationTimedOut: It did not end in time and was killed.
        """
        job = {"settings": self._settings(), "alias": self.alias}
        run_python("django", self.spec, job, target, deadline, directory=self.root)

    def _settings_files(self, file: Path, module: str) -> Iterator[Path]:
        for one in import_closure(file, module, self.root):
            yield one
            for router in _routers(one):
                # Looked for in the project alone: others come with their distributions.
                source = find_module(router, search_path(self.root)[:2])
                if source is not None and source.is_relative_to(self.root):
                    yield from import_closure(source, router, self.root)

    def _settings(self) -> str:
        module = self.named or os.environ.get("DJANGO_SETTINGS_MODULE", "")
        if module:
            return module
        manage = self.root / "manage.py"
        found = _SETTINGS.search(manage.read_text(encoding="utf-8")) if manage.is_file() else None
        if found is None:
            raise _missing(
                self.spec, f"no manage.py in {self.root} names one, nor does the environment"
            )
        return found[1]


def _routers(settings: Path) -> Iterator[str]:
    """Yield the modules of the classes that ``DATABASE_ROUTERS`` names."""
    try:
        tree = ast.parse(settings.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _ROUTERS in map(ast.unparse, node.targets):
            values = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
            paths = [value for value in values if isinstance(value, str)]
            yield from filter(None, (path.rpartition(".")[0] for path in paths))


def _describes_tables(source: Path) -> bool:
    """Whether these are models of an app without migrations, whose tables are made from them."""
    app = source.parent if source.name == "models.py" else source.parent.parent
    is_models = source.name == "models.py" or source.parent.name == "models"
    return is_models and not (app / "migrations").is_dir()


def _distributions() -> list[str]:
    """Return the names and versions of all that is installed, as cheaply as their directories tell."""
    places = [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    return sorted({found.name for place in places for found in place.glob("*.dist-info")})


def _require_django(spec: str) -> None:
    try:
        metadata.version("django")
    except metadata.PackageNotFoundError:
        raise MigrationMissing(
            "Django was looked for",
            on=spec,
            seen="it is not installed",
            todo=("pip install 'freshpg[django]'",),
            step=spec,
        ) from None


def _missing(spec: str, seen: str) -> MigrationMissing:
    return MigrationMissing(
        "the settings module of a Django project was looked for",
        on=spec,
        seen=seen,
        todo=("name it: django:project.settings", "or set DJANGO_SETTINGS_MODULE"),
        step=spec,
    )
