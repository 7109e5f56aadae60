"""The kind ``alembic:alembic.ini``: every head, in a process of its own."""

from __future__ import annotations

import configparser
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import MigrationFailed, MigrationMissing, MigrationUnreadable
from freshpg.postgres.admin import Admin
from freshpg.templates.digests import digest
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.python import run_python
from freshpg.templates.migrations.sources import digest_files, find_module, search_path, walk

if TYPE_CHECKING:
    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

_USER_TABLES = """
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


@dataclass(frozen=True, slots=True)
class AlembicStep:
    """``alembic upgrade heads`` with the configuration named, on our database."""

    spec: str
    ini: str
    root: Path

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self.root / self.ini

    def parts(self) -> tuple[AlembicStep, ...]:
        """Return itself: alembic knows what it has applied."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return ini file and ``env.py`` as fixed, the revisions as a history that may grow.

        Raises:
            MigrationMissing: No ini file, no directory of scripts, or alembic is not installed.
            MigrationUnreadable: The ini file cannot be understood.
        """
        version = _installed(self.spec)
        config = self._config()
        scripts = self._scripts(config)
        revisions = sorted(self._revisions(config, scripts))
        env = [scripts / "env.py"] if (scripts / "env.py").is_file() else []
        return StepInputs(
            fixed=(Input(self.spec, digest(version)), *digest_files([self.path, *env], self.root)),
            history=digest_files(revisions, self.root),
        )

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Upgrade to all heads.

        ``env.py`` finds our URL in ``sqlalchemy.url`` and in ``DATABASE_URL``.

        Raises:
            MigrationFailed: A revision raised, or ``env.py`` went to another database.
            MigrationTimedOut: It did not end in time and was killed.
        """
        run_python(
            "alembic",
            self.spec,
            {"ini": str(self.path)},
            target,
            deadline,
            directory=self._directory(self._config()),
        )
        self._require_effect(target)

    def _config(self) -> configparser.ConfigParser:
        if not self.path.is_file():
            raise MigrationMissing(
                "an alembic configuration was looked for",
                on=self.spec,
                seen=f"there is no {self.ini} in {self.root}",
                todo=("name it relative to the project: alembic:path/to/alembic.ini",),
                file=self.ini,
            )
        config = configparser.ConfigParser({"here": str(self.path.parent)})
        try:
            config.read_string(self.path.read_text(encoding="utf-8"))
            config.get("alembic", "script_location")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise MigrationUnreadable(
                "an alembic configuration was read",
                on=self.ini,
                seen=str(error),
                todo=("it needs a section [alembic] with script_location = …",),
                file=self.ini,
            ) from None
        return config

    def _directory(self, config: configparser.ConfigParser) -> Path:
        """Return where alembic is run: in the project, or beside the ini file when its paths mean that."""
        location = config.get("alembic", "script_location")
        beside = self.path.parent
        return (
            beside
            if (beside / location).is_dir() and not (self.root / location).is_dir()
            else self.root
        )

    def _scripts(self, config: configparser.ConfigParser) -> Path:
        location = config.get("alembic", "script_location")
        if ":" in location and not Path(location).exists():
            package, _, rest = location.partition(":")
            init = find_module(package, search_path(self.root))
            found = init.parent / rest if init else Path(location)
        else:
            found = self._directory(config) / location
        if not found.is_dir():
            raise MigrationMissing(
                "a directory of alembic revisions was looked for",
                on=self.ini,
                seen=f"script_location = {location} is not a directory",
                todo=("correct script_location",),
                file=self.ini,
            )
        return found

    def _revisions(self, config: configparser.ConfigParser, scripts: Path) -> set[Path]:
        listed = config.get("alembic", "version_locations", fallback="")
        places = [self._directory(config) / one for one in listed.replace(",", " ").split()]
        directories = places or [scripts / "versions"]
        return {file for place in directories for file in walk(place) if file.suffix == ".py"}

    def _require_effect(self, target: Target) -> None:
        with closing(Admin.connect(target.conninfo)) as database:
            if database.value(_USER_TABLES):
                return
        raise MigrationFailed(
            f"{self.spec} ended well, yet our database holds no table, not even alembic_version",
            on=self.ini,
            seen="env.py takes its URL from somewhere else, so another database may have been migrated",
            todo=(
                "let env.py use config.get_main_option('sqlalchemy.url')",
                "or let it read DATABASE_URL, which freshpg sets",
            ),
            step=self.spec,
            file=self.ini,
        )


def _installed(spec: str) -> str:
    try:
        return metadata.version("alembic")
    except metadata.PackageNotFoundError:
        raise MigrationMissing(
            "alembic was looked for",
            on=spec,
            seen="it is not installed",
            todo=("pip install 'freshpg[alembic]'",),
            step=spec,
        ) from None
