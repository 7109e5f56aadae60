"""The private places of demos: gone with the demo, or with the next ``freshpg clean`` when it was killed."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.servers import private
from freshpg.servers.keeper import identity, ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "freshpg-demo-"
_MEMORY = Path("/dev/shm")  # noqa: S108 (only directories of our own, made inside, are used)
_OWNER = "owner.json"


def make_ground() -> Path:
    """Make a private place that says whose it is; in memory where there is some."""
    base = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    ground = private.make_draft(base, PREFIX)
    # As root the server's unprivileged user must get through; the names below cannot be guessed.
    ground.chmod(0o711 if os.geteuid() == 0 else 0o700)
    pid = os.getpid()
    owner = {"pid": pid, "start": identity.start_token(pid)}
    where = {"boot": identity.boot_id(), "namespace": identity.pid_namespace()}
    ledger.write(str(ground / _OWNER), {**owner, **where})
    return ground


def abandoned_grounds() -> Iterator[Path]:
    """Yield those whose maker is provably dead."""
    for base in dict.fromkeys((_MEMORY, Path(tempfile.gettempdir()))):
        for ground in sorted(base.glob(f"{PREFIX}*")):
            found = ground.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _is_dead(ground):
                yield ground


def is_in_use(ground: Path) -> bool:
    """Whether its maker provably lives."""
    owner = ledger.read(str(ground / _OWNER))
    if owner is None or owner["boot"] != identity.boot_id():
        return False
    here = owner["namespace"] == identity.pid_namespace()
    return here and identity.is_alive(owner["pid"], owner["start"])


def _is_dead(ground: Path) -> bool:
    owner = ledger.read(str(ground / _OWNER))
    if owner is None:
        return False
    if owner["boot"] != identity.boot_id():
        return True
    # Processes of another pid namespace cannot be judged from here.
    here = owner["namespace"] == identity.pid_namespace()
    return here and not identity.is_alive(owner["pid"], owner["start"])
