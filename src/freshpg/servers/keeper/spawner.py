"""Starting a keeper process, by at most one of the clients that find none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core import faults
from freshpg.core.clock import Deadline
from freshpg.core.errors import KeeperFailed
from freshpg.core.faults import faultpoint
from freshpg.servers.shortage import shortage
from freshpg.servers.storage import make_root

if TYPE_CHECKING:
    from freshpg.core.clock import Clock

PROCESS = Path(__file__).with_name("process.py")
RESPAWN_SECONDS = 2.0
IDLE_SECONDS = 1.0
"""How long a keeper we start stays with nothing to keep: long enough for the next command of a script."""
_FAILED = "the keeper was started and spoken to"
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", faults.VARIABLE)
"""Some Python builds do not find their own libpython without the first two."""


class Spawner:
    """Starts the keeper at ``root``, again when the first one does not come up."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self._politeness: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._spawned = Deadline(0.0, clock)

    def spawn(self) -> None:
        """Start a keeper, unless we or somebody else just did."""
        if self._process is not None and not self._spawned.expired:
            return
        make_root(self.root)
        if not self._is_my_turn():
            return
        self._wait_for_child()
        self._spawned = Deadline(RESPAWN_SECONDS, self.clock)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROCESS), str(self.root), str(IDLE_SECONDS)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                start_new_session=True,
            )
            faultpoint("keeper.spawned")
        except OSError as error:
            seen = f"{sys.executable or 'no interpreter'}: {error.strerror}"
            raise shortage(error, _FAILED) or self._failed(seen) from None

    def tidy(self) -> None:
        """Let go of everything; the keeper itself runs on."""
        self._wait_for_child()
        if self._politeness is not None:
            os.close(self._politeness)
            self._politeness = None

    def silent(self, seconds: float) -> KeeperFailed:
        """Return the error for a keeper that did not answer for ``seconds``."""
        try:
            log = (self.root / "keeper.log").read_text(encoding="utf-8")
        except OSError:
            log = ""
        status = self._process.poll() if self._process else None
        return self._failed(
            log or f"no answer within {seconds:g} s; its interpreter returned {status}"
        )

    def _is_my_turn(self) -> bool:
        # Only thrift: of many clients that find no keeper one spawns it. The keeper's own lock is what makes it single.
        if self._politeness is None:
            with contextlib.suppress(FileNotFoundError):
                self._politeness = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._politeness is None:
            return False
        try:
            fcntl.flock(self._politeness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_for_child(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)

    def _failed(self, seen: str) -> KeeperFailed:
        return KeeperFailed(
            _FAILED,
            on=str(self.root),
            seen=seen,
            todo=(
                f"run it by hand to see why: {sys.executable} -I -S {PROCESS} {self.root} 1",
                "freshpg doctor checks directories and limits",
            ),
        )
