"""Name every process, directory and shared-memory segment that freshpg left behind.

Usage::

    python3 tools/check_leftovers.py --snapshot FILE   # before: what is there already
    python3 tools/check_leftovers.py --since FILE      # after: fails on anything new

Looks with the operating system's eyes alone and shares no code with freshpg, so a mistake
there cannot hide itself here. Exit codes: 0 nothing left, 1 something left.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# A run's last processes may still be on their way out when pytest has printed its last line.
PATIENCE = 5.0  # seconds
BETWEEN_LOOKS = 0.1  # seconds

PROC = Path("/proc")
RUNTIME_ROOT = re.compile(r"/freshpg-\d+(/|\s|$)")
KEEPER = re.compile(r"freshpg/servers/keeper/\S*\.py")


def main() -> int:
    """Take a snapshot, or compare with one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--snapshot", type=Path, help="write what is there now to this file")
    parser.add_argument("--since", type=Path, help="ignore what this snapshot lists")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="before it counts as left",
    )
    options = parser.parse_args()
    if options.snapshot:
        options.snapshot.write_text(json.dumps(sorted(remains())), encoding="utf-8")
        return 0
    known = set(json.loads(options.since.read_text(encoding="utf-8"))) if options.since else set()
    left = settle(known, options.patience)
    for thing, detail in sorted(left.items()):
        print(f"left behind: {thing} {detail}".rstrip(), file=sys.stderr)
    print(f"left behind by freshpg: {len(left)}")
    return 1 if left else 0


def settle(known: set[str], patience: float) -> dict[str, str]:
    """What is left once nothing goes away any more, or patience ends."""
    deadline = time.monotonic() + patience
    while True:
        left = {thing: detail for thing, detail in remains().items() if thing not in known}
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(BETWEEN_LOOKS)


def remains() -> dict[str, str]:
    """Each thing of freshpg's on this machine, by a name that stays, with what to say of it."""
    return processes() | directories() | shared_memory()


def processes() -> dict[str, str]:
    """Processes that run from, in or for a runtime directory of freshpg."""
    if not PROC.exists():
        return processes_from_ps()
    found: dict[str, str] = {}
    for directory in PROC.glob("[0-9]*"):
        if int(directory.name) in {os.getpid(), os.getppid()}:
            continue
        try:
            found |= describe_process(directory)
        except OSError:  # gone while we looked, or somebody else's
            continue
    return found


def describe_process(directory: Path) -> dict[str, str]:
    """A process under /proc with its words, or nothing when it is none of ours."""
    stat = (directory / "stat").read_text(encoding="utf-8", errors="replace")
    state, *fields = stat.rpartition(")")[2].split()
    command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    # A backend rewrites its command line, but keeps working in its data directory.
    places = [link(directory / "cwd"), link(directory / "exe")]
    ours = KEEPER.search(command) or any(RUNTIME_ROOT.search(text) for text in [command, *places])
    if state == "Z" or not ours:
        return {}
    started = fields[18]  # clock ticks after boot; with the pid it names one process for ever
    return {f"process {directory.name} started at {started}:": f"{command.strip()} in {places[0]}"}


def link(path: Path) -> str:
    """Where a link of /proc points; empty when we may not know."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def processes_from_ps() -> dict[str, str]:
    """The same where there is no /proc: by pid and the five words of its start time."""
    listing = ["ps", "-axww", "-o", "pid=,lstart=,command="]
    lines = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = [
        line.split(maxsplit=6) for line in lines if KEEPER.search(line) or RUNTIME_ROOT.search(line)
    ]
    return {f"process {' '.join(words[:6])}:": words[6] for words in ours}


def directories() -> dict[str, str]:
    """Runtime directories of freshpg, with whatever sockets and data lie in them."""
    bases = {
        Path("/dev/shm"),
        Path("/tmp"),
        Path("/var/tmp"),
        Path(f"/run/user/{os.getuid()}"),
        Path(tempfile.gettempdir()).resolve(),
    }
    return {
        f"{kind(path)} {path}": contents(path)
        for base in bases
        if os.access(base, os.R_OK | os.X_OK)
        for path in base.glob("freshpg*")
    }


def kind(path: Path) -> str:
    """What to call it."""
    if path.is_socket():
        return "socket"
    return "directory" if path.is_dir() else "file"


def contents(path: Path) -> str:
    """The first names in a directory, enough to see what it was."""
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        return ""
    names = sorted(entry.name for entry in path.iterdir())
    return f"holding {', '.join(names[:8])}" if names else "(empty)"


def shared_memory() -> dict[str, str]:
    """Segments that a PostgreSQL made and no living process uses."""
    segments = list(Path("/dev/shm").glob("PostgreSQL.*"))
    used = mapped_files() if segments else set()
    found = {f"shared memory {path}": "" for path in segments if str(path) not in used}
    table = PROC / "sysvipc/shm"
    if not table.exists():
        return found
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    for row in rows:
        segment = dict(zip(header.split(), row.split(), strict=True))
        if segment["nattch"] == "0" and not (PROC / segment["cpid"]).exists():
            found[f"System V segment {segment['shmid']}"] = f"of dead process {segment['cpid']}"
    return found


def mapped_files() -> set[str]:
    """Every file in /dev/shm that some process has in its memory."""
    used = set()
    for maps in PROC.glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        used |= {line.split(maxsplit=5)[5] for line in lines if " /dev/shm/" in line}
    return used


if __name__ == "__main__":
    raise SystemExit(main())
