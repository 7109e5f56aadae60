"""One circuit breaker for all workers of a project that use one server: its memory is a small file.

Nothing is read or written while hand-outs work. The first failure makes the file; from then on every worker goes by
what all of them have seen, until the circuit has closed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from freshpg.core.backoff import delays
from freshpg.core.breaker import CircuitBreaker, Memory
from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import EmergencyMode
from freshpg.servers.keeper.identity import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freshpg.core.clock import Clock

_LONGEST_REASON = 2000

_LOCK_SECONDS = 1.0
"""Seconds to wait for a file that others hold for a few reads and writes; then this process goes by its own memory."""


class SharedBreaker:
    """Lets hand-outs through while they work; for the threads of this process and those of other workers.

    Args:
        directory: Where the file is made when it is needed, by a process that may write there; None to share nothing.
        server: What the hand-outs depend on; each server has a breaker of its own.
        clock: Tells the time; the machine's own one is the same for all processes of one boot.
    """

    def __init__(self, directory: Path | None, server: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.server = server
        name = hashlib.sha256(server.encode()).hexdigest()[:16]
        self._path = directory / f"breaker-{name}.json" if directory else None
        self._breaker = CircuitBreaker(clock=clock)
        self._because = ""
        self._lock = threading.Lock()

    def require(self) -> None:
        """Return when a hand-out may be tried, to be reported by one of the other methods.

        Raises:
            EmergencyMode: Too many failed; says why, and when to come again.
        """
        if self._breaker.is_closed and not self._is_told:
            return
        with self._shared():
            if self._breaker.allow():
                return
            failures, calls = self._breaker.recent
            wait = self._breaker.retry_in
            because = self._because
        raise EmergencyMode(
            "a database was asked for",
            on=self.server,
            seen=f"{failures} of the last {calls} hand-outs failed, in all workers; the last one:\n{because}",
            todo=(
                "see to the server first: freshpg doctor checks it",
                f"then run again; in {wait:.1f} s one worker tries by itself",
            ),
            retry_in=wait,
            because=because,
        )

    def succeeded(self) -> None:
        """Report a hand-out that worked."""
        if self._breaker.is_closed:
            # Told to the others with the next failure, if there is one.
            self._breaker.record_success()
            return
        with self._shared():
            self._breaker.record_success()

    def failed(self, because: str) -> None:
        """Report a hand-out that failed of the infrastructure, and of what."""
        with self._shared():
            self._breaker.record_failure()
            self._because = because[:_LONGEST_REASON]

    def abandoned(self) -> None:
        """Report a hand-out that failed of something else: it says nothing about the server."""
        if not self._breaker.is_closed:
            with self._shared():
                self._breaker.abandon()

    def close(self) -> None:
        """Remove the file when nothing in it counts any more; again is fine."""
        if self._is_told:
            with self._shared():
                pass

    @property
    def _is_told(self) -> bool:
        """Whether somebody told the others of a failure."""
        return self._path is not None and os.path.exists(self._path)  # noqa: PTH110 (before each hand-out)

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """Do something with what all workers know, and let them know the result."""
        with self._lock, self._file() as descriptor:
            if descriptor < 0:
                yield
                return
            self._learn(descriptor)
            yield
            self._tell(descriptor)

    @contextmanager
    def _file(self) -> Iterator[int]:
        """Hold the file alone; -1 where none can be made, and this process goes by its own memory."""
        descriptor = self._open(self._path) if self._path else -1
        try:
            yield descriptor
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            end = Deadline(_LOCK_SECONDS)
            for delay in delays(0.001, limit=0.05):
                descriptor = os.open(
                    path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
                )
                with suppress(FileNotFoundError, BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if path.stat().st_ino == os.fstat(descriptor).st_ino:
                        return descriptor
                # Somebody has it, or had it and removed it.
                os.close(descriptor)
                if end.expired:
                    break
                SYSTEM_CLOCK.sleep(delay)
        except OSError:
            self._path = None
        return -1

    def _learn(self, descriptor: int) -> None:
        known, mine = _read(descriptor), self._breaker.export()
        if known is None:
            if mine.opened is not None:
                # Whoever closed the circuit removed the file.
                self._breaker.adopt(Memory())
            return
        theirs = Memory(
            deque((float(at), bool(good)) for at, good in known["calls"]),
            known["opened"],
            known["probing"],
        )
        if mine.opened is None:
            # Successes of ours that nobody was told of yet.
            told = known["told"].get(str(os.getpid()), 0.0)
            theirs.calls = deque(
                sorted([*theirs.calls, *(one for one in mine.calls if one[1] and one[0] > told)])
            )
        self._breaker.adopt(theirs)
        self._because = known["because"]

    def _tell(self, descriptor: int) -> None:
        memory = self._breaker.export()
        failures, _ = self._breaker.recent
        if memory.opened is None and not failures:
            with suppress(OSError):
                if self._path is not None:
                    self._path.unlink()
            return
        told = (_read(descriptor) or {}).get("told", {})
        now = max((at for at, _ in memory.calls), default=0.0)
        content = {
            "boot": boot_id(),
            "calls": list(memory.calls),
            "opened": memory.opened,
            "probing": memory.probing,
            "because": self._because,
            "told": {**told, str(os.getpid()): now},
        }
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(content).encode(), 0)


def _read(descriptor: int) -> dict[str, Any] | None:
    """Return what is in the file; None when that is nothing, another boot's, or half written."""
    try:
        content = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        return content if content["boot"] == boot_id() else None
    except (ValueError, KeyError, TypeError, OSError):
        return None
