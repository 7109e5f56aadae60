"""Remove from a data directory that is shut down what its next start can do without."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import ImageInvalid
from freshpg.core.faults import faultpoint
from freshpg.servers.control_file import PATH as CONTROL_FILE
from freshpg.servers.control_file import parse_control_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.servers.control_file import ControlFile

# Objects below this are initdb's. Source: FirstNormalObjectId, src/include/access/transam.h
_FIRST_USER_OBJECT: Final = 16384
_MAP_FORK: Final = re.compile(r"(\d+)_(?:fsm|vm)(?:\.\d+)?")
_SEGMENT: Final = re.compile(r"[0-9A-F]{24}")
# A shutdown checkpoint record is about 120 bytes; one that may reach into the next segment keeps that one too.
_CHECKPOINT_BYTES: Final = 1024
_LEFT_BY_SERVERS: Final = ("postmaster.opts", "postmaster.pid", "current_logfiles")
_EMPTIED: Final = (
    "pg_stat",
    "pg_stat_tmp",
    "pg_notify",
    "pg_subtrans",
    "pg_snapshots",
    "pg_serial",
    "pg_dynshmem",
)


def slim(directory: Path) -> None:
    """Remove WAL before the last checkpoint, spare segments, statistics, and the catalogs' free-space and visibility maps.

    All of it is rebuilt or created by the server when needed. Of 970 files of a new cluster about 730 stay.

    Raises:
        ImageInvalid: The cluster was not shut down cleanly: its WAL would be needed.
    """
    control = _shut_down_control(directory)
    for path in _spare(directory, control):
        path.unlink(missing_ok=True)
        faultpoint("slim.file_gone")
    for path in (directory / "base").glob("pgsql_tmp*"):
        shutil.rmtree(path)


def _shut_down_control(directory: Path) -> ControlFile:
    control = parse_control_file((directory / CONTROL_FILE).read_bytes())
    if control is None or not control.is_shut_down:
        raise ImageInvalid(
            "a data directory was to be sealed",
            on=str(directory),
            seen=f"its last server is {control.state}"
            if control
            else f"{CONTROL_FILE} cannot be read",
            todo=("this is a fault of freshpg: please report it with this message",),
        )
    return control


def _spare(directory: Path, control: ControlFile) -> Iterator[Path]:
    yield from (directory / name for name in _LEFT_BY_SERVERS)
    for name in _EMPTIED:
        yield from (
            Path(entry)
            for entry in os.scandir(directory / name)
            if entry.is_file(follow_symlinks=False)
        )
    yield from _spare_wal(directory / "pg_wal", control)
    for database in (directory / "global", *(directory / "base").iterdir()):
        yield from _catalog_maps(database)


def _spare_wal(directory: Path, control: ControlFile) -> Iterator[Path]:
    segments = [path for path in directory.iterdir() if _SEGMENT.fullmatch(path.name)]
    size = max((path.stat().st_size for path in segments), default=0)
    if not size:
        return
    needed = {control.wal_segment(size), control.wal_segment(size, offset=_CHECKPOINT_BYTES)}
    yield from (path for path in segments if path.name not in needed)


def _catalog_maps(database: Path) -> Iterator[Path]:
    for entry in os.scandir(database):
        found = _MAP_FORK.fullmatch(entry.name)
        if found and int(found[1]) < _FIRST_USER_OBJECT:
            yield Path(entry.path)
