"""What the keeper writes down, so that the next one can finish its work after a SIGKILL.

``<server's directory>/server.json`` tells of a server, ``<root>/claims/<token>.json`` of what an owner claimed. Both
are written before the act they announce. Records are replaced whole by a rename and never synced: after a power cut
all processes are dead and the boot differs, which is all a record is asked then.
"""

from __future__ import annotations

import json
import os

from . import identity
from .faults import faultpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]

FORMAT = 1
CLAIMS = "claims"
SERVERS = "servers"
_LIMIT = 1_000_000


def write(path: str, record: Record) -> None:
    """Put ``record`` at ``path``, whole or not at all."""
    unfinished = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with open(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as file:
            # A client's umask may have taken them away.
            os.fchmod(file.fileno(), 0o600)
            json.dump({"format": FORMAT, **record}, file)
        faultpoint("ledger.drafted")
        os.rename(unfinished, path)
        faultpoint("ledger.written")
    except OSError:
        forget(unfinished)
        raise


def read(path: str) -> Record | None:
    """Return the record at ``path``; None when there is none of ours that can be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            record = json.loads(file.read(_LIMIT))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def forget(path: str) -> None:
    """Remove the record at ``path``, if there is one."""
    faultpoint("ledger.forgetting")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def forget_drafts(root: str) -> None:
    """Remove the claims below ``root`` that somebody was killed over before they were whole."""
    for path in _entries(f"{root}/{CLAIMS}"):
        name, _, pid = path.removesuffix(".tmp").rpartition(".")
        if path.endswith(".tmp") and name and pid.isdigit() and not identity.start_token(int(pid)):
            forget(path)


def server_directories(root: str) -> Iterator[str]:
    """Yield the directories below ``<root>/servers``."""
    yield from _entries(f"{root}/{SERVERS}")


def claim_files(root: str) -> Iterator[str]:
    """Yield the records below ``<root>/claims``."""
    yield from (path for path in _entries(f"{root}/{CLAIMS}") if path.endswith(".json"))


def _entries(directory: str) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return
    yield from (f"{directory}/{name}" for name in sorted(names))
