"""One removal, done by a short-lived child of the keeper."""

from __future__ import annotations

import os
import signal
import stat

from . import remains
from .faults import faultpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

    from .records import Server

ATTEMPTS = 3
DATA = "data"
"""What a data directory is called in the place of a server; see :class:`freshpg.servers.storage.ServerPlace`."""
REPORT_BYTES = 4000
"""A pipe takes these at once (PIPE_BUF)."""


def _nothing(_left: list[str]) -> None:
    """Ignore what is left."""


class Burial:
    """Kill what is left of a server, remove its shared memory, then remove paths."""

    def __init__(
        self,
        server: Server | None,
        paths: Iterable[str],
        roots: Iterable[str],
        then: Callable[[list[str]], None] = _nothing,
    ) -> None:
        self.server = server
        self.paths = tuple(paths)
        self.roots = tuple(roots)
        self.then = then
        self.reader = -1
        self.attempts = 0
        self.killed = 0

    def start(self, close: Iterable[int]) -> int:
        """Begin, and return the pid of the child that does it; the child first closes its copies of ``close``.

        Raises:
            OSError: The system has no process left.
        """
        self.reader, writer = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(self.reader)
            os.close(writer)
            raise
        if pid == 0:
            self._work(writer, close)
        os.close(writer)
        return pid

    @property
    def is_last_attempt(self) -> bool:
        """Whether nothing is tried again after this."""
        return self.attempts >= ATTEMPTS - 1

    def finish(self) -> list[str]:
        """Return what is left; the child has exited."""
        # What it wrote is there at once; a child of its own may have outlived it and still hold the other end.
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, REPORT_BYTES).decode(errors="replace").splitlines()
        except BlockingIOError:
            return []
        finally:
            os.close(self.reader)

    def _work(self, writer: int, close: Iterable[int]) -> NoReturn:
        left: list[str] = []
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            # Copies of the clients' sockets would hide the keeper's death from them.
            for descriptor in close:
                os.close(descriptor)
            left = self._remove()
        except BaseException as error:  # noqa: BLE001 (told to the keeper, whatever it is)
            left = [repr(error)]
        finally:
            os.write(writer, "\n".join(left).encode(errors="replace")[:REPORT_BYTES])
            os._exit(0)

    def _remove(self) -> list[str]:
        left: list[str] = []
        for data, uid, gid in self._data_directories():
            left += _end_use(data, uid, gid)
        if left and not self.is_last_attempt:
            # The data directory is what names the processes and the segments to the next attempt.
            return left
        faultpoint("burial.dead")
        for path in self.paths:
            left += remains.remove_path(path, self.roots)
            faultpoint("burial.path_gone")
        return left

    def _data_directories(self) -> Iterator[tuple[str, int, int]]:
        """Yield the data directories to be removed, and whose they are."""
        if self.server is not None:
            yield self.server.data, self.server.uid, self.server.gid
            return
        for path in self.paths:
            # A claimed place that no server was started on yet: initdb may still run there, its owner killed.
            data = f"{path}/{DATA}"
            try:
                found = os.stat(data, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode) and remains.root_of(data, self.roots):
                yield data, found.st_uid, found.st_gid


def _end_use(data: str, uid: int, gid: int) -> list[str]:
    """Kill what works in a data directory and remove its shared memory."""
    # Slow to import, and it must be imported before the change of user: that user may not be able to read our Python.
    from . import segments

    left = remains.as_user(uid, gid, lambda: remains.kill_processes_below(data, uid))
    try:
        directory = segments.Directory(data)
    except FileNotFoundError:
        return left
    return left + remains.as_user(uid, gid, lambda: segments.remove(directory))
