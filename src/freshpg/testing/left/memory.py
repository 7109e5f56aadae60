"""Shared memory that a PostgreSQL made and no living process uses; descriptors of this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.testing.left.things import Leftover

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PROC = Path("/proc")
MEMORY = Path("/dev/shm")  # noqa: S108 (looked at only)


def system_v_segments(users: Collection[int]) -> Iterator[Leftover]:
    """Yield segments with PostgreSQL's header that nobody has attached."""
    table = PROC / "sysvipc/shm"
    if not table.exists():
        return
    header, *rows = table.read_text(encoding="ascii").splitlines()
    names = header.split()
    for row in rows:
        facts = dict(zip(names, map(int, row.split()), strict=True))
        if facts["nattch"] == 0 and facts["uid"] in users:
            from freshpg.servers.keeper import segments

            if segments.made_by_postgres(facts["shmid"]):
                yield Leftover(
                    "System V segment",
                    str(facts["shmid"]),
                    f"{facts['size']} bytes, made by process {facts['cpid']}",
                )


def shared_memory_files(users: Collection[int]) -> Iterator[Leftover]:
    """Yield POSIX segments by PostgreSQL's name that no process has in its memory."""
    found = [path for path in MEMORY.glob("PostgreSQL.*") if _owner(path) in users]
    used = _mapped() if found else set()
    for path in found:
        if str(path) not in used:
            yield Leftover("shared memory file", str(path))


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


def _mapped() -> set[str]:
    used: set[str] = set()
    for maps in PROC.glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        used |= {line.split(maxsplit=5)[5] for line in lines if " /dev/shm/" in line}
    return used


def descriptors() -> Iterator[Leftover]:
    """Yield those of this process, with what they lead to."""
    directory = "/proc/self/fd" if PROC.exists() else "/dev/fd"
    for number in os.listdir(directory):  # noqa: PTH208 (asked after every test: a third of the time)
        try:
            target = os.readlink(f"{directory}/{number}") if PROC.exists() else ""  # noqa: PTH115
        except OSError:
            # The one that listed them.
            continue
        yield Leftover("descriptor", f"{number} {target}".strip())
