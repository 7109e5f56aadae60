"""Lines for a person who waits longer than a second for a database, from any process of the run."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from freshpg.core.printable import plain
from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.events import Event

PATIENCE = 1.0
"""Seconds nobody minds."""


class Progress:
    """Holds back what is said until the wait has been long; then says the latest at once.

    Args:
        worker: Name of the worker of xdist that speaks.
        terminal: Descriptor that is written to, and closed in the end; negative for none.
        patience: Seconds before it speaks.
    """

    def __init__(self, worker: str, *, terminal: int, patience: float = PATIENCE) -> None:
        self._label = f"freshpg {worker}".rstrip()
        self._patience = patience
        self._lock = threading.Lock()
        self._latest = ""
        self._waiting = False
        self._speaks = False
        self._timer: threading.Timer | None = None
        self._terminal = terminal

    def take(self, event: Event) -> None:
        """Listen to the bus."""
        from freshpg.core.events import Progress as Said

        if not isinstance(event, Said):
            return
        with self._lock:
            self._latest = event.text
            if self._speaks:
                self._say()
            elif self._waiting and self._timer is None:
                # Only now: a thread for every hand-out would cost more than most of them take.
                self._timer = threading.Timer(self._patience, self._speak_up)
                self._timer.daemon = True
                self._timer.start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Speak up when the block takes long after it said what it does."""
        self._waiting = True
        try:
            yield
        finally:
            with self._lock:
                timer, self._timer = self._timer, None
                self._waiting, self._speaks, self._latest = False, False, ""
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Close the terminal; again is fine."""
        terminal, self._terminal = self._terminal, -1
        if terminal >= 0:
            with suppress(OSError):
                os.close(terminal)

    def _speak_up(self) -> None:
        with self._lock:
            if self._waiting:
                self._speaks = True
                self._say()

    def _say(self) -> None:
        text, self._latest = self._latest, ""
        if text and self._terminal >= 0:
            with suppress(OSError):
                os.write(self._terminal, f"\n{self._label}: {plain(redact(text))}\n".encode())
