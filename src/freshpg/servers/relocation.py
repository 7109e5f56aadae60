"""A copy of somebody's PostgreSQL installation, made by us, for a user who cannot reach the original."""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import DiskFull
from freshpg.core.faults import faultpoint
from freshpg.servers import private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Headers, static libraries and texts: half of an installation, and no server reads them.
_SKIPPED_DIRECTORIES: Final = frozenset(
    {"include", "doc", "man", "pkgconfig", "pgxs", "__pycache__", "locale"}
)
_DRAFT: Final = ".copy-"
_MARK: Final = ".freshpg-copy"
_NAME: Final = re.compile(r"(?:postgresql|nameless)-([0-9a-f]{16})")
_SKIPPED_SUFFIXES: Final = (".a", ".pc", ".py", ".pyc")


def copy_install(layout: Sequence[Path], target: Path) -> Path:
    """Copy the directories of ``layout`` below ``target``, keeping their relative places, and return ``target``.

    Does nothing when ``target`` exists: it appears by one rename, so it is whole.

    Raises:
        DiskFull: There is no room.
    """
    if target.is_dir():
        return target
    root = Path(os.path.commonpath([part.parent for part in layout]))
    with making_copy(target) as draft:
        for part in layout:
            _copy_tree(part, draft / part.relative_to(root))
    return target


@contextmanager
def making_copy(target: Path) -> Iterator[Path]:
    """Yield a directory to fill, which then appears as ``target`` by one rename.

    Raises:
        DiskFull: There is no room at ``target``.
    """
    try:
        make_passable(target.parent)
        private.sweep_drafts(target.parent, _DRAFT)
        draft, lock = private.make_locked_draft(target.parent, _DRAFT)
        try:
            faultpoint("programs.draft_made")
            draft.chmod(0o755)
            yield draft
            (draft / _MARK).write_text(target.name)
            faultpoint("programs.copied")
            _publish(draft, target)
            faultpoint("programs.published")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFull(
            "PostgreSQL's programs were copied for a user who cannot use the original",
            on=str(target),
            seen=str(error.strerror),
            todo=("free some space there, or install PostgreSQL where every user can reach it",),
            free=shutil.disk_usage(target.parent).free,
        ) from None


def copied_build(copy: Path) -> str | None:
    """Return the id of the build that ``copy`` is one of; None where it is not proven that we made it.

    Both its name and a mark inside must say so, and it must be our user's: a cache may be in a directory that has
    programs of other makers as well.
    """
    name = _NAME.fullmatch(copy.name)
    mark = copy / _MARK
    try:
        if name is None or copy.is_symlink() or copy.lstat().st_uid != os.geteuid():
            return None
        return name[1] if mark.read_text() == copy.name else None
    except (OSError, UnicodeDecodeError):
        return None


def make_passable(directory: Path) -> None:
    """Make a directory, and those above it, that everybody may enter and read; what exists stays as it is."""
    for missing in reversed([directory, *directory.parents]):
        with suppress(FileExistsError):
            missing.mkdir(0o755)
            # A umask may have taken bits away.
            missing.chmod(0o755)


def _publish(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError as error:
        # Another process was faster; its copy is as good.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _copy_tree(source: Path, target: Path) -> None:
    for here, directories, files in os.walk(source):
        directories[:] = [name for name in directories if name not in _SKIPPED_DIRECTORIES]
        place = target / os.path.relpath(here, source)
        make_passable(place)
        for name in files:
            if not name.endswith(_SKIPPED_SUFFIXES):
                _copy_file(Path(here, name), place / name)


def _copy_file(source: Path, target: Path) -> None:
    if source.is_symlink() and source.readlink().parts == (source.readlink().name,):
        target.symlink_to(source.readlink())
        return
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
