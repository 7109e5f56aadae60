"""A lease that is taken while the first test already runs: on a server that nobody else can have."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError, LeaseClosed, WaitTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freshpg.leases.lease import LeaseConnection
    from freshpg.leases.slots import Slot

HEAD_START = 0.01
"""Seconds the first test has for connecting: two sessions that start at once are both slower."""

_FAILED = "a connection for leases was opened"

_LIMIT = 30.0
"""Seconds to wait for the connection; opening it has a shorter deadline of its own."""


class LaterLease:
    """A lease connection that a thread opens, with what is to be held and told through it.

    Only for servers that the keeper gave to this process alone: there no lock decides who may use what, it only shows
    others who does. Safe to use from several threads.
    """

    def __init__(self, connect: Callable[[], LeaseConnection], head_start: float) -> None:
        self._connect = connect
        self._head_start = head_start
        self._lock = threading.Lock()
        self._needed = threading.Event()
        self._settled = threading.Event()
        self._slots: list[Slot] = []
        self._test: str | None = None
        self._connection: LeaseConnection | None = None
        self._error: Exception | None = None
        self._closed = False
        threading.Thread(target=self._open, name="freshpg lease", daemon=True).start()

    @property
    def connection(self) -> LeaseConnection:
        """The connection, waited for.

        Raises:
            ServerError: It could not be opened.
            WaitTimedOut: It did not open in time.
        """
        self._needed.set()
        if not self._settled.wait(_LIMIT):
            raise WaitTimedOut(_FAILED, seen=f"it was not open after {_LIMIT:g} s")
        if self._error is not None:
            raise self._error.with_traceback(None)
        assert self._connection is not None  # noqa: S101 (settled without an error)
        return self._connection

    @property
    def opened(self) -> LeaseConnection | None:
        """The connection if there is one by now; never waits."""
        return self._connection

    def reopen(self) -> None:
        """Try again to open what could not be opened; again is fine.

        Raises:
            ServerError: It could not be opened this time either.
        """
        with self._lock:
            if self._error is None or self._closed:
                return
            self._error = None
            self._settled.clear()
        self._open()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def hold(self, slots: Sequence[Slot]) -> None:
        """Hold these slots as soon as there is a connection."""
        with self._lock:
            if self._connection is None:
                self._slots += slots
            else:
                self._connection.hold(slots)

    def note(self, test: str) -> bool:
        """Have others told which test runs once there is a connection; ``False`` when there is one, to be told by the caller."""
        with self._lock:
            self._test = test
            return not self._settled.is_set()

    def close(self) -> None:
        """End it, or do not even open it; one that could not be opened is no matter any more."""
        with self._lock:
            self._closed = True
        self._needed.set()
        if self._settled.wait(_LIMIT) and self._connection is not None:
            with suppress(FreshpgError):
                self._connection.close()

    def _open(self) -> None:
        self._needed.wait(self._head_start)
        try:
            self._require_open()
            connection = self._connect()
            try:
                self._hand_over(connection)
            except BaseException:
                connection.close()
                raise
        except Exception as error:  # noqa: BLE001 (told to whoever asks for the connection)
            self._give_up(error)
        except BaseException as error:
            # Ctrl-C while it was opened again: nobody may wait for what will not come.
            self._give_up(LeaseClosed(_FAILED, seen=f"{type(error).__name__} came in between"))
            raise

    def _hand_over(self, connection: LeaseConnection) -> None:
        with self._lock:
            if self._slots:
                connection.hold(self._slots)
            connection.note(self._test)
            self._connection = connection
            self._settled.set()

    def _give_up(self, error: Exception) -> None:
        self._error = error
        self._settled.set()

    def _require_open(self) -> None:
        with self._lock:
            if self._closed:
                raise LeaseClosed(_FAILED, seen="it was closed before")
