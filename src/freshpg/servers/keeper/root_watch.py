"""Being told when the runtime root is removed: then nobody can reach the keeper, and its servers' files are gone.

The lock file at its path is what makes a process the keeper of a root, so its absence is the proof. Linux says by a
signal that something in a directory was removed (``F_NOTIFY``, https://man7.org/linux/man-pages/man2/F_GETSIG.2const.html),
macOS by a kqueue that a file was. Where neither can be had, whatever else wakes the keeper makes it look.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

_NOTED = getattr(fcntl, "DN_DELETE", 0) | getattr(fcntl, "DN_RENAME", 0)


class RootWatch:
    """Watches over the root of the keeper that holds ``lock``."""

    def __init__(self, root: str, lock: int) -> None:
        self._path = f"{root}/keeper.lock"
        self._lock = lock
        self._directory = -1
        self.descriptor = -1
        """Readable when there is something to :meth:`drain`; -1 where a signal tells."""
        try:
            self._begin(root)
        except OSError:
            return

    def _begin(self, root: str) -> None:
        if sys.platform.startswith("linux"):
            signal.signal(signal.SIGIO, lambda *_: None)
            # Told as long as it is open.
            self._directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.fcntl(self._directory, fcntl.F_NOTIFY, _NOTED | fcntl.DN_MULTISHOT)
        elif sys.platform == "darwin":
            self._queue = select.kqueue()
            wanted = select.KQ_NOTE_DELETE | select.KQ_NOTE_RENAME
            flags = select.KQ_EV_ADD | select.KQ_EV_CLEAR
            event = select.kevent(self._lock, select.KQ_FILTER_VNODE, flags, wanted)
            self._queue.control([event], 0)
            self.descriptor = self._queue.fileno()

    def drain(self) -> None:
        """Take in what was told."""
        if sys.platform == "darwin":
            self._queue.control(None, 8, 0)

    def is_gone(self) -> bool:
        """Whether the root, or our place in it, is not there any more."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return there.st_ino != os.fstat(self._lock).st_ino
