"""Starts children in order, restarts those that crash, and stops them in reverse: what :mod:`strategy` decides, done."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import FreshpgError, RestartsExhausted, WaitTimedOut
from freshpg.core.events import Bus, ChildCrashed, ChildRestarted, logger
from freshpg.supervision.strategy import ChildSpec, GiveUp, Restart, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from freshpg.core.clock import Clock

RESTART_LIMIT = 120.0
"""Seconds to wait for a restart that another thread carries out; making a missing image may be part of it."""

PAUSE = 0.2
"""Seconds before what could not be started is tried again."""


@dataclass(frozen=True)
class Child:
    """What the supervisor keeps up.

    Args:
        spec: Its place in the order of things.
        start: Starts it, the first time and again; called by one thread at a time.
        stop: Stops it within the seconds given; whatever it raises is logged and the others stop all the same.
        last_words: What is left of it after a crash: the end of its log.
    """

    spec: ChildSpec
    start: Callable[[], object]
    stop: Callable[[float], object] = lambda _seconds: None
    last_words: Callable[[], str] = lambda: ""


class Supervisor:
    """Keeps a list of children up; safe to use from several threads.

    Nothing here looks whether a child lives: whoever sees its end, by a descriptor that became readable or a call that
    failed, calls :meth:`report`, and the restart happens in that thread. A child that cannot be started again is
    *down*; the next :meth:`ensure` tries once more, which counts as a crash if it fails.
    """

    def __init__(
        self, children: Sequence[Child], *, events: Bus | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._children = {child.spec.name: child for child in children}
        self._strategy = Strategy([child.spec for child in children])
        self._events = events or Bus()
        self._clock = clock
        self._lock = threading.RLock()
        self._generations = dict.fromkeys(self._children, 0)
        self._running: set[str] = set()
        self._down: str | None = None
        self._stopped = False
        self.failure: RestartsExhausted | None = None

    def generation(self, name: str) -> int:
        """Return how often a child was started; names one life of it in :meth:`report`."""
        return self._generations[name]

    @property
    def is_up(self) -> bool:
        """Whether :meth:`ensure` has nothing to do."""
        return self.failure is None and self._down is None

    def start(self) -> None:
        """Start all in order; when one cannot, those before it are stopped again and its error is raised."""
        with self._exclusive():
            self._stopped, self.failure, self._down = False, None, None
            try:
                for name in self._strategy.start_order:
                    self._start(name)
            except BaseException:
                self._stop_all(Deadline(self._longest_stop, self._clock))
                raise

    def report(self, name: str, seen: str, *, generation: int) -> None:
        """Tell that a child crashed, in that life of it; a life that was reported or ended before is passed over."""
        with self._exclusive():
            if self._stopped or self.failure or generation != self._generations[name]:
                return
            if name not in self._running:
                return
            self._running.discard(name)
            self._events.emit(ChildCrashed(name, seen))
            self._decide(name, seen)

    def ensure(self) -> None:
        """Return when all children are up.

        Raises:
            RestartsExhausted: One crashed too often; nothing is started any more.
            FreshpgError: One could not be started.
        """
        if self.is_up:
            return
        with self._exclusive():
            name, self._down = self._down, None
            if self.failure is None and name is not None:
                self._clock.sleep(PAUSE)
                self._carry_out(self._strategy.restart(name), name, raises=True)
            if self.failure is not None:
                raise self.failure.with_traceback(None)

    def stop(self, seconds: float) -> None:
        """Stop all in reverse order within ``seconds``; again is fine."""
        with self._exclusive():
            self._stopped = True
            self._stop_all(Deadline(seconds, self._clock))

    @property
    def _longest_stop(self) -> float:
        return sum(child.spec.stop_within for child in self._children.values())

    def _decide(self, name: str, seen: str) -> None:
        decision = self._strategy.crashed(name, self._clock.monotonic())
        if isinstance(decision, GiveUp):
            self._give_up(decision, seen)
        else:
            self._carry_out(decision, name)

    def _carry_out(self, restart: Restart, name: str, *, raises: bool = False) -> None:
        began = self._clock.monotonic()
        for one in restart.stop:
            self._stop(one, self._children[one].spec.stop_within)
        try:
            for one in restart.start:
                self._start(one)
        except FreshpgError as error:
            self._down = name
            decision = self._strategy.crashed(name, self._clock.monotonic())
            self._events.emit(ChildCrashed(name, error.headline))
            if isinstance(decision, GiveUp):
                self._give_up(decision, str(error))
            if raises and self.failure is None:
                raise
            return
        self._events.emit(ChildRestarted(name, self._clock.monotonic() - began))

    def _start(self, name: str) -> None:
        self._children[name].start()
        self._generations[name] += 1
        self._running.add(name)
        if self._down == name:
            self._down = None

    def _stop_all(self, end: Deadline) -> None:
        for name in self._strategy.stop_order:
            self._stop(name, min(end.remaining, self._children[name].spec.stop_within))

    def _stop(self, name: str, seconds: float) -> None:
        if name not in self._running:
            return
        self._running.discard(name)
        try:
            self._children[name].stop(seconds)
        except Exception:  # noqa: BLE001 (logged; the others stop all the same)
            logger.exception("%s did not stop in order", name)

    def _give_up(self, decision: GiveUp, seen: str) -> None:
        words = self._children[decision.child].last_words()
        self._down = None
        self.failure = RestartsExhausted(
            f"{decision.child} was to be kept up, and crashed {decision.crashes} times within {decision.seconds:g} s",
            on=decision.child,
            seen="\n".join(part for part in (seen.strip(), words.strip()) if part),
            todo=(
                "read the last lines above: what ends it is most often named there",
                "freshpg doctor checks memory, storage and programs",
                "run again: everything is started anew",
            ),
            child=decision.child,
            crashes=decision.crashes,
        )
        self._stop_all(Deadline(self._longest_stop, self._clock))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=RESTART_LIMIT):
            raise WaitTimedOut(
                "a restart was waited for",
                on=", ".join(self._children),
                seen=f"another thread was busy with it for {RESTART_LIMIT:g} s",
                todo=("look into the server's log, and whether the machine is overloaded",),
            )
        try:
            yield
        finally:
            self._lock.release()
