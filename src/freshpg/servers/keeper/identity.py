"""Which process is it: pid, start time, boot and pid namespace together, because a pid alone is reused.

Standard library only and few modules: the keeper imports this before it can answer anybody.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LINUX = sys.platform.startswith("linux")


def boot_id() -> str:
    """Return what changes with every boot; processes recorded under another one are dead."""
    if LINUX:
        return _read("/proc/sys/kernel/random/boot_id")
    return _output(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"])


def pid_namespace() -> str:
    """Return the name of our pid namespace; pids recorded in another one cannot be judged from here."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_token(pid: int) -> str:
    """Return when process ``pid`` started, opaque; empty when it does not exist or is a zombie."""
    if not LINUX:
        state, _, started = _output(["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]).partition(
            " "
        )
        return "" if state.startswith("Z") else started.strip()
    # The second field is the program's name in parentheses and may hold anything, so cut at the last ")".
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return "" if not fields or fields[0] in "ZX" else fields[19]


def is_alive(pid: int, started: str) -> bool:
    """Whether the very process recorded as ``pid`` and ``started`` still runs."""
    return pid > 0 and bool(started) and start_token(pid) == started


def working_below(directory: str, uid: int) -> Iterator[int]:
    """Yield the processes of ``uid`` whose working directory is ``directory`` or below it.

    PostgreSQL's processes, and the programs they start, all work in the data directory
    (``ChangeToDataDir`` in src/backend/utils/init/miscinit.c). Nothing is yielded where there is no ``/proc``:
    there the children of a dead postmaster notice its death and leave by themselves.
    """
    for entry in os.listdir("/proc") if LINUX else ():
        if entry.isdigit() and works_below(int(entry), directory, uid):
            yield int(entry)


def works_below(pid: int, directory: str, uid: int) -> bool:
    """Whether ``pid`` belongs to ``uid`` and works in ``directory`` or below it."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != uid:
            return False
        where = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return False
    return where == directory or where.startswith(directory + "/")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _output(command: list[str]) -> str:
    import subprocess

    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=2, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
