"""Sockets, files and directories where freshpg makes some that are to go again."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from freshpg.servers.images.image import DRAFT
from freshpg.servers.storage import SERVERS, SOCKETS
from freshpg.testing.left.things import Leftover

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from freshpg.testing.left.things import Kind

LASTING = frozenset({"cache", "programs", "run", "packs", "images", "log", "runs", "history"})
"""Made to stay: for the next run, or for a person."""

DEPTH = 4
"""From a runtime root down to the sockets of a server: ``servers/<id>/s/.s.PGSQL.5432``."""


def runtime(roots: Iterable[Path]) -> Iterator[Leftover]:
    """Yield what lies in the runtime roots, and grounds of demos beside them."""
    for root in dict.fromkeys(roots):
        yield from _below(root, DEPTH)
    for base in dict.fromkeys(root.parent for root in roots):
        for ground in _entries(base):
            if ground.name.startswith("freshpg-demo-"):
                yield from _one(ground)


def cache(candidates: Iterable[Path]) -> Iterator[Leftover]:
    """Yield images that were never finished."""
    for root in candidates:
        for draft in _entries(root / "images"):
            if draft.name.startswith(DRAFT):
                yield from _one(draft)


def state(directory: Path) -> Iterator[Leftover]:
    """Yield what lies in a project's ``.freshpg``."""
    for entry in _entries(directory):
        if entry.name not in LASTING:
            yield from _one(entry)


def _below(directory: Path, depth: int) -> Iterator[Leftover]:
    for entry in _entries(directory):
        if entry.name in LASTING:
            continue
        shelf = entry.name in {SERVERS, SOCKETS} and depth == DEPTH
        if not shelf:
            yield from _one(entry)
        # A data directory's own files are its server's.
        if depth > 1 and entry.name != "data" and not entry.is_symlink() and entry.is_dir():
            yield from _below(entry, depth - 1)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _one(path: Path) -> Iterator[Leftover]:
    try:
        found = path.lstat()
    except OSError:
        return
    kinds: tuple[tuple[bool, Kind], ...] = (
        (stat.S_ISSOCK(found.st_mode), "socket"),
        (stat.S_ISDIR(found.st_mode), "directory"),
        (True, "file"),
    )
    kind = next(kind for fits, kind in kinds if fits)
    yield Leftover(kind, str(path))
