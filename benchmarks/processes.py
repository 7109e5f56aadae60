"""What the kernel knows of a process: Linux only."""

from __future__ import annotations

from pathlib import Path


def pss(pid: int | str = "self") -> float:
    """Return its proportional share of memory, in MB; 0 when it is gone."""
    return _smaps(pid, "Pss:")


def private(pid: int | str = "self") -> float:
    """Return the memory that nobody else has mapped, in MB."""
    return _smaps(pid, "Private_Dirty:") + _smaps(pid, "Private_Clean:")


def tree(pid: int | str) -> float:
    """Return the proportional share of a process and all below it, in MB."""
    return pss(pid) + sum(map(tree, children(pid)))


def children(pid: int | str) -> list[str]:
    """Return the processes right below one; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def is_session(pid: str) -> bool:
    """Return whether a process of a server serves a client on this machine."""
    try:
        return b"[local]" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def threads() -> int:
    """Return how many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir()))


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def _smaps(pid: int | str, label: str) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(label)) / 1024
