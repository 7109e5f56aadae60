"""Says something a moment later, from a thread of its own, once for however often that was asked for meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 0.05
"""Seconds between two notes: nobody reads faster, and a round trip before each test costs it a tenth of a reset."""


class Teller:
    """Calls ``say`` at most every :data:`EVERY` seconds, always after the last :meth:`soon`."""

    def __init__(self, say: Callable[[], object]) -> None:
        self._say = say
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def soon(self) -> None:
        """Have it called within :data:`EVERY` seconds. Not to be called by two threads at once."""
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="freshpg lease note", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the thread; again is fine."""
        self._closed.set()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed.wait(EVERY):
                return
            self._wanted.clear()
            self._say()
