"""Why a server did not start, read from its log; the servers of freshpg write it in English (``LC_ALL=C``)."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Final

from freshpg.core.conninfo import redact
from freshpg.core.errors import DiskFull, ServerStartFailed

if TYPE_CHECKING:
    from pathlib import Path

_TAIL_LINES: Final = 20

_KNOWN: Final[tuple[tuple[str, type[DiskFull | ServerStartFailed], tuple[str, ...]], ...]] = (
    (
        r"No space left on device|Disk quota exceeded",
        DiskFull,
        ("free space where the server lives, or set TMPDIR to a directory with room", "freshpg clean removes what is not used"),
    ),
    (
        r"could not (map anonymous shared memory|create shared memory segment|resize shared memory)",
        ServerStartFailed,
        (
            "give the container more shared memory: docker run --shm-size=256m",
            "lower shared_buffers or max_connections in [tool.freshpg] settings",
        ),
    ),
    (
        r"Address already in use|could not create any TCP/IP sockets",
        ServerStartFailed,
        ("another program listens on that port: choose another one with --tcp",),
    ),
    (
        r"error while loading shared libraries: (?P<name>[^:\s]+)",
        ServerStartFailed,
        ("install the package that has {name}", "freshpg doctor names the package"),
    ),
    (
        r"(configuration parameter|value for parameter|valid range for parameter) \"(?P<name>[^\"]+)\"",
        ServerStartFailed,
        ("correct or remove {name} in [tool.freshpg] settings",),
    ),
    (
        r"could not access file \"(?P<name>[^\"]+)\": No such file",
        ServerStartFailed,
        ("{name} in shared_preload_libraries is not installed for this PostgreSQL",),
    ),
    (
        r"not compatible with|initialized by PostgreSQL version",
        ServerStartFailed,
        ("the data directory was made by another build: freshpg clean --images makes it anew",),
    ),
    (
        r"Permission denied",
        ServerStartFailed,
        ("the user that runs PostgreSQL cannot reach a file: freshpg doctor shows which user and which path",),
    ),
    (
        r"insufficient file descriptors",
        ServerStartFailed,
        ("raise the limit of open files: ulimit -n 1024, or --ulimit nofile=1024 for a container",),
    ),
    (r"max_connections|too many|semaphores|Cannot allocate memory|Resource temporarily unavailable", ServerStartFailed,
     ("the system's limits are reached: ulimit -a, or the container's memory and process limits",)),
)  # fmt: skip


def start_failure(
    log: str, *, on: str, seen: str, place: Path | None = None
) -> DiskFull | ServerStartFailed:
    """Return the error for a server that did not start.

    Args:
        log: The end of its log.
        on: Which server.
        seen: What was observed from outside, such as an exit status.
        place: Its directory, to tell how much room is left there.
    """
    for pattern, kind, remedies in _KNOWN:
        found = re.search(pattern, log)
        if found:
            name = found.groupdict().get("name", "")
            todo = tuple(remedy.replace("{name}", name) for remedy in remedies)
            if kind is DiskFull and place is not None:
                free = shutil.disk_usage(place).free
                seen = f"{seen}\n{free >> 20} MB are free in {place}".strip()
                return _error(kind, log, on, seen, todo, free=free)
            return _error(kind, log, on, seen, todo)
    return _error(
        ServerStartFailed,
        log,
        on,
        seen,
        ("freshpg doctor checks binaries, directories and limits",),
    )


def _error(
    kind: type[DiskFull | ServerStartFailed],
    log: str,
    on: str,
    seen: str,
    todo: tuple[str, ...],
    **facts: Any,
) -> DiskFull | ServerStartFailed:
    tail = redact("\n".join(log.splitlines()[-_TAIL_LINES:]))
    return kind(
        "a server was started",
        on=on,
        seen=f"{seen}\n{tail}".strip(),
        todo=todo,
        log=tail,
        **facts,
    )
