"""The ends of processes and connections, told by the kernel: descriptors that become readable when it comes."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from freshpg.core.events import logger
from freshpg.leases.forks import disown_in_children

if TYPE_CHECKING:
    from collections.abc import Callable

HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP
"""The other side closed; data alone is none of our business."""

DYING_SECONDS = 0.05
"""How long a server may take to end once its sessions have."""

_LONGEST = 600.0
"""Seconds after which the watcher looks again, were a wake-up ever lost."""


class ProcessEnd:
    """Whether a process lives, asked of the kernel without a pid that could be somebody else's by now.

    Where the system has no ``pidfd_open``, nothing is known, and ``descriptor`` is -1.
    """

    def __init__(self, descriptor: int, *, ended: bool = False) -> None:
        self.descriptor = descriptor
        self._ended = ended
        self._poll = _poll_of(descriptor)

    @classmethod
    def of(cls, pid: int) -> Self:
        """Watch ``pid``, which must be known to be the right process now."""
        if not hasattr(os, "pidfd_open"):
            return cls(-1)
        try:
            return cls(os.pidfd_open(pid))
        except ProcessLookupError:
            return cls(-1, ended=True)
        except OSError:
            # Not permitted in some sandboxes, or no descriptor left: deaths are then seen by connections alone.
            return cls(-1)

    @classmethod
    def unknown(cls) -> Self:
        """Return what stands for a process that cannot be watched from here."""
        return cls(-1)

    @property
    def is_watched(self) -> bool:
        """Whether its end would be seen."""
        return self._ended or self.descriptor >= 0

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended; costs a system call, no waiting."""
        descriptor = self.descriptor
        if self._ended or descriptor < 0:
            return self._ended
        try:
            happened = self._poll.poll(0)
        except RuntimeError:
            # Another thread asks at this moment, and one object serves one at a time.
            return self.ends_within(0.0)
        if happened:
            self._note(happened, descriptor)
        return self._ended

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end for so long; return whether it has come."""
        descriptor = self.descriptor
        if not self._ended and descriptor >= 0:
            # One of its own for each caller who waits: threads may not share it.
            self._note(_poll_of(descriptor).poll(seconds * 1000), descriptor)
        return self._ended

    def bring_about(self, *signals: int, patience: float) -> bool:
        """Send one signal after the other until it has ended, ``patience`` seconds each; return whether it has."""
        for number in signals:
            if self.descriptor < 0 or self.ended:
                break
            # By the descriptor: the number may be somebody else's by now.
            with suppress(OSError):
                signal.pidfd_send_signal(self.descriptor, number)
            self.ends_within(patience)
        return self._ended

    def close(self) -> None:
        """Stop watching; again is fine."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _note(self, happened: list[tuple[int, int]], descriptor: int) -> None:
        # Closed meanwhile, its number may be somebody else's by now.
        if self.descriptor == descriptor and any(event & select.POLLIN for _, event in happened):
            self._ended = True


def _poll_of(descriptor: int) -> select.poll:
    poll = select.poll()
    if descriptor >= 0:
        poll.register(descriptor, select.POLLIN)
    return poll


class Watcher:
    """One thread that sleeps until a watched descriptor reports an end, and then calls who asked for it, once.

    A callback runs in that thread and may watch again. The thread starts with the first descriptor.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[int, Callable[[], object]]] = {}
        self._reader, self._writer = -1, -1
        self._closed = False
        disown_in_children(self)

    def watch(self, descriptor: int, events: int, callback: Callable[[], object]) -> None:
        """Call ``callback`` when one of ``events`` (of :func:`select.poll`) shows; replaces an earlier one."""
        with self._lock:
            if self._closed or descriptor < 0:
                return
            self._watched[descriptor] = (events, callback)
            if self._writer < 0:
                self._reader, self._writer = os.pipe()
                os.set_blocking(self._writer, False)
                threading.Thread(target=self._run, name="freshpg watcher", daemon=True).start()
        self._wake()

    def forget(self, descriptor: int) -> None:
        """Watch it no more; said before it is closed."""
        with self._lock:
            known = self._watched.pop(descriptor, None)
        if known:
            self._wake()

    def close(self) -> None:
        """End the thread; again is fine. A callback that runs now is not waited for."""
        with self._lock:
            self._closed = True
            self._watched.clear()
        self._wake()

    def disown(self) -> None:
        """In a forked child: there is no thread here, and nothing to watch."""
        self._lock = threading.Lock()
        self._closed = True
        self._watched = {}
        for descriptor in (self._reader, self._writer):
            if descriptor >= 0:
                os.close(descriptor)
        self._reader = self._writer = -1

    def _wake(self) -> None:
        # Full means that it wakes anyway; gone, that it has ended.
        with self._lock, suppress(OSError):
            if self._writer >= 0:
                os.write(self._writer, b"x")

    def _run(self) -> None:
        while True:
            poll = select.poll()
            with self._lock:
                if self._closed:
                    os.close(self._reader)
                    os.close(self._writer)
                    self._reader = self._writer = -1
                    return
                poll.register(self._reader, select.POLLIN)
                for descriptor, (events, _) in self._watched.items():
                    poll.register(descriptor, events)
            self._tell(poll.poll(_LONGEST * 1000))

    def _tell(self, happened: list[tuple[int, int]]) -> None:
        for descriptor, event in happened:
            if descriptor == self._reader:
                os.read(descriptor, 4096)
                continue
            with self._lock:
                known = self._watched.pop(descriptor, None)
            if known is None or event & select.POLLNVAL:
                continue
            try:
                known[1]()
            except Exception:  # noqa: BLE001 (logged; the others are told all the same)
                logger.exception("what was to be done about an end failed")
