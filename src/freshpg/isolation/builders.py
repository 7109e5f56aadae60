"""The threads that make clones for a stock, each through a control connection of its own."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import ServerDied
from freshpg.leases.forks import abandon

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Deadline
    from freshpg.isolation.cloning import Cloner
    from freshpg.isolation.ledger import Job

_CANCEL_LIMIT = 2.0
"""Seconds a builder has to come back once its statement was cancelled."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What builders are told, and who hears of them.

    Attributes:
        connect: Opens the control connection of a builder that has work.
        hold_back: Waits until a builder without a connection may begin.
        next_job: Waits for the next job; ``None`` ends the builder.
        do: Does one.
        failed: Hears of a job that failed, and whether the connection was cut off.
        died: Hears of a builder's death, and of the job it was at.
        on_death: Hears what a builder died of, once that is noted.
    """

    connect: Callable[[], Cloner]
    hold_back: Callable[[], None]
    next_job: Callable[[], Job | None]
    do: Callable[[Cloner, Job], None]
    failed: Callable[[Job, Exception, bool], None]
    died: Callable[[Job | None], None]
    on_death: Callable[[BaseException], object]


class Builders:
    """Up to ``most`` daemon threads, which never keep the interpreter.

    Whoever gives the orders holds a lock around :meth:`add` and :meth:`revive`.
    """

    def __init__(self, orders: Orders, most: int, name: str) -> None:
        self.most = most
        self._orders = orders
        self._name = name
        self._threads: list[threading.Thread] = []
        self._dead: set[int] = set()
        self._cloners: dict[int, Cloner] = {}
        self._unattended = False

    def add(self, cloner: Cloner | None = None) -> None:
        """Start another one, unless there are enough; ``cloner`` is an open connection for it."""
        number = len(self._threads)
        if number >= self.most:
            return
        if cloner is not None:
            self._cloners[number] = cloner
        self._threads.append(self._start(number))

    def revive(self) -> None:
        """Put a new builder in the place of each that died."""
        while self._dead:
            number = self._dead.pop()
            self._threads[number] = self._start(number)

    def join(self, end: Deadline) -> bool:
        """Wait until all have ended, cancel what they are at after that; return whether one is stuck all the same."""
        for thread in self._threads:
            thread.join(end.remaining)
        if not any(thread.is_alive() for thread in self._threads):
            return False
        for cloner in tuple(self._cloners.values()):
            with suppress(Exception):
                cloner.admin.connection.cancel_safe(timeout=_CANCEL_LIMIT)
        for thread in self._threads:
            thread.join(_CANCEL_LIMIT)
        self._unattended = any(thread.is_alive() for thread in self._threads)
        return self._unattended

    def spare_cloner(self) -> Cloner:
        """Return the connection of a builder that has ended, or a new one."""
        for number, thread in enumerate(self._threads):
            cloner = self._cloners.get(number)
            if cloner is not None and not thread.is_alive() and not cloner.admin.closed:
                return cloner
        fresh = self._cloners[0] = self._orders.connect()
        return fresh

    def close(self) -> None:
        """Close the connections of those that have ended."""
        for number, thread in enumerate(self._threads):
            if not thread.is_alive():
                self._drop_cloner(number)

    def disown(self) -> None:
        """In a forked child: there are no builders here; the parent's go on."""
        self._threads = []
        for cloner in tuple(self._cloners.values()):
            abandon(cloner.admin)
        self._cloners = {}

    def _start(self, number: int) -> threading.Thread:
        thread = threading.Thread(
            target=self._build_on, args=(number,), name=self._name, daemon=True
        )
        thread.start()
        return thread

    def _build_on(self, me: int) -> None:
        job: Job | None = None
        if me not in self._cloners:
            self._orders.hold_back()
        try:
            while (job := self._orders.next_job()) is not None:
                try:
                    self._orders.do(self._cloner(me), job)
                except Exception as error:  # noqa: BLE001 (whatever it is, a taker must hear of it)
                    self._failed(me, job, error)
        except BaseException as death:  # noqa: BLE001 (a thread has nobody above it who could be told)
            self._bury(me, job)
            self._orders.on_death(death)
        finally:
            # Otherwise whoever ends the builders needs the connection for what is left to do.
            if self._unattended:
                self._drop_cloner(me)

    def _cloner(self, me: int) -> Cloner:
        cloner = self._cloners.get(me)
        if cloner is None:
            cloner = self._cloners[me] = self._orders.connect()
        return cloner

    def _failed(self, me: int, job: Job, error: Exception) -> None:
        cloner = self._cloners.get(me)
        cut_off = isinstance(error, ServerDied) or (cloner is not None and cloner.admin.closed)
        if cut_off:
            self._drop_cloner(me)
        self._orders.failed(job, error, cut_off)

    def _bury(self, me: int, job: Job | None) -> None:
        """Leave what a dying builder was at to the others."""
        self._drop_cloner(me)
        self._orders.died(job)
        self._dead.add(me)

    def _drop_cloner(self, me: int) -> None:
        cloner = self._cloners.pop(me, None)
        if cloner is not None:
            cloner.admin.close()
