"""The kind ``path/to/file.sql``, and directories and globs of such files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from glob import glob, has_magic
from typing import TYPE_CHECKING

from freshpg.core.errors import MigrationMissing, MigrationUnreadable
from freshpg.templates.digests import file_digest
from freshpg.templates.migrations.base import Input, StepInputs

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

_NUMBER = re.compile(r"(\d+)")
_DOWN = re.compile(r"(?:^|[._-])(?:down|undo|rollback)\.sql$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file, sent statement by statement over a connection of its own, as ``psql -f`` does."""

    spec: str
    root: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / self.spec

    def parts(self) -> tuple[SqlFile, ...]:
        """Return itself: a file is done whole."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return the digest of the file; its place among the steps counts, its name does not.

        Raises:
            MigrationMissing: There is no such file.
            MigrationUnreadable: It cannot be opened.
        """
        try:
            return StepInputs(
                fixed=(Input(self.spec, file_digest(_regular(self.path, self.spec))),)
            )
        except OSError as error:
            raise MigrationUnreadable(
                "an SQL file was opened",
                on=self.spec,
                seen=error.strerror or str(error),
                todo=("check its permissions",),
                file=self.spec,
            ) from None

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Carry out every statement in its own transaction unless the file says otherwise.

        Raises:
            MigrationFailed: With file, line, statement and the server's words.
            MigrationTimedOut: It was cancelled at the deadline.
            ExtensionMissing: It wants an extension the server does not have.
            MigrationUnreadable: See :func:`~freshpg.templates.migrations.sqlscript.read_script`.
            MetaCommandRefused: The same.
        """
        # Most starts only read the file's digest.
        from freshpg.templates.migrations.runscript import run_script

        with _regular(self.path, self.spec).open("rb") as stream:
            run_script(stream, self.spec, target, deadline)


@dataclass(frozen=True, slots=True)
class SqlFiles:
    """A directory or glob of SQL files, in the order of their names, numbers compared as numbers."""

    spec: str
    root: Path

    def parts(self) -> tuple[SqlFile, ...]:
        """Return a step a file.

        Files that undo others (``*.down.sql``, ``*_undo.sql``) are left out when a directory is named.

        Raises:
            MigrationMissing: The directory does not exist, or nothing fits.
        """
        place = self.root / self.spec
        if has_magic(self.spec) and not place.exists():
            # Path.glob refuses absolute patterns.
            fitting = glob(self.spec, root_dir=self.root, recursive=True)  # noqa: PTH207
            names = [self.root / name for name in fitting]
        else:
            names = [path for path in place.glob("*.sql") if not _DOWN.search(path.name)]
        found = sorted((path for path in names if path.is_file()), key=_natural)
        if not found:
            raise MigrationMissing(
                "SQL files were looked for",
                on=self.spec,
                seen=f"no file fits in {self.root}",
                todo=("check the path: it is relative to the project",),
                spec=self.spec,
            )
        return tuple(SqlFile(os.path.relpath(path, self.root), self.root) for path in found)

    def inputs(self) -> StepInputs:
        """Return the digests of all files."""
        return StepInputs(
            fixed=tuple(found for part in self.parts() for found in part.inputs().fixed)
        )

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Apply each file in order; raises what :meth:`SqlFile.apply` raises."""
        for part in self.parts():
            part.apply(target, deadline)


def _natural(path: Path) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Sort V2 before V10."""
    return tuple(
        tuple(
            (int(piece), "") if piece.isdecimal() else (-1, piece) for piece in _NUMBER.split(part)
        )
        for part in path.parts
    )


def _regular(path: Path, spec: str) -> Path:
    if path.is_file():
        return path
    seen = (
        "it is not a regular file" if path.exists() else f"there is no such file in {path.parent}"
    )
    raise MigrationMissing(
        "an SQL file was looked for",
        on=spec,
        seen=seen + _similar(path),
        todo=("check the path: it is relative to the project",),
        file=spec,
    )


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return "; its directory does not exist either"
    near = get_close_matches(path.name, names, n=1)
    return f"; there is {near[0]!r}" if near else ""
