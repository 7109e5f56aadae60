"""Processes that run from, in or for a runtime directory of freshpg, and children of this process; zombies too."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.testing.left.things import Leftover

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PROC = Path("/proc")
KEEPER = re.compile(r"freshpg/servers/keeper/\S*\.py")
PS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``places`` are its words, its directory and its program, where they may be known."""

    pid: int
    parent: int
    zombie: bool
    started: str
    command: str
    places: tuple[str, ...] = ()


def processes(roots: Sequence[Path]) -> Iterator[Leftover]:
    """Yield those that are of ours."""
    ours, me = [f"{root}/" for root in roots], os.getpid()
    found = list(_from_proc()) if PROC.exists() else list(_from_ps(me))
    keepers = {one.pid for one in found if KEEPER.search(one.command) and _is_in(one, ours)}
    for one in found:
        if one.zombie and one.parent in {me, *keepers}:
            yield Leftover("zombie", _name(one), f"{one.command}, child of {one.parent}")
        elif not one.zombie and one.pid != me and (_is_in(one, ours) or one.parent == me):
            yield Leftover("process", _name(one), " in ".join(filter(None, one.places[:2])))


def children() -> Iterator[Leftover]:
    """Yield children of this process, zombies too; a look that costs microseconds."""
    me = os.getpid()
    for task in (PROC / "self/task").glob("*/children"):
        try:
            pids = task.read_text(encoding="ascii").split()
        except OSError:
            # The thread has ended; what it started is another thread's child now.
            continue
        for pid in pids:
            one = _process(PROC / pid)
            if one is not None and one.parent == me:
                kind = "zombie" if one.zombie else "process"
                yield Leftover(kind, _name(one), one.command)  # type: ignore[arg-type]


def _is_in(one: Process, ours: Iterable[str]) -> bool:
    return any(root in f"{place}/" for root in ours for place in one.places)


def _name(one: Process) -> str:
    # With its start the pid names one process for ever.
    return f"{one.pid} started at {one.started}"


def _from_proc() -> Iterator[Process]:
    for directory in PROC.iterdir():
        if directory.name.isdigit() and (found := _process(directory)):
            yield found


def _process(directory: Path) -> Process | None:
    try:
        stat = (directory / "stat").read_text(encoding="utf-8", errors="replace")
        words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        # It left while we looked.
        return None
    head, _, tail = stat.rpartition(")")
    state, parent, *fields = tail.split()
    command = words.strip() or head.partition("(")[2]
    # A backend rewrites its words, but keeps working in its data directory.
    places = (command, _link(directory / "cwd"), _link(directory / "exe"))
    return Process(int(directory.name), int(parent), state in "ZX", fields[17], command, places)


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _from_ps(me: int) -> Iterator[Process]:
    """Yield the same where there is no /proc: by the five words of the start time."""
    listing = ["ps", "-axww", "-o", "pid=,ppid=,stat=,lstart=,command="]
    done = subprocess.run(listing, check=True, capture_output=True, text=True, timeout=PS_SECONDS)
    for line in done.stdout.splitlines():
        pid, parent, state, *rest = line.split(maxsplit=8)
        command = rest[5] if len(rest) > 5 else ""
        if not (int(parent) == me and command.startswith("ps -axww")):
            zombie, started = state.startswith("Z"), " ".join(rest[:5])
            yield Process(int(pid), int(parent), zombie, started, command, (command,))
