"""Turns on something that one may use at a time: a fair queue over threads and asyncio tasks, with a deadline.

A turn lasts for one statement. A *block* (an open transaction) keeps out everybody but those who are in it, until it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
import traceback
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpg.core.errors import TurnTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SECONDS = 10.0
"""How long to wait for a turn."""

_DEEPEST = 12
"""Frames of a stack that an error shows."""

_BLOCKS: ContextVar[frozenset[int]] = ContextVar("freshpg_blocks", default=frozenset())
"""Blocks that were open where this context comes from: who was started inside a block belongs to it."""


@dataclass(slots=True)
class Block:
    """An open transaction: who is in it, and who opened it."""

    members: set[int]
    opened_by: Runner
    token: int = field(default_factory=itertools.count(1).__next__)


class Runner(NamedTuple):
    """What executes code: a thread, and in it a task of asyncio."""

    thread: int
    task: asyncio.Task[Any] | None

    @classmethod
    def current(cls) -> Runner:
        """Return who calls."""
        return cls(threading.get_ident(), current_task())

    def __str__(self) -> str:
        names = [thread.name for thread in threading.enumerate() if thread.ident == self.thread]
        task = f", task {self.task.get_name()}" if self.task is not None else ""
        return f"thread {names[0] if names else self.thread}{task}"

    def stands_still_for(self, other: Runner, *, blocking: bool) -> bool:
        """Whether this one has ended, or cannot go on while ``other`` waits, with its whole thread if ``blocking``."""
        if self.task is not None and self.task.done():
            return True
        if self.thread == other.thread:
            return blocking or self.task is None
        return all(thread.ident != self.thread for thread in threading.enumerate())

    def stack(self) -> str:
        """Return where it stands now, innermost frame last; empty when it has ended."""
        if self.task is not None and self.task is not current_task():
            frames = self.task.get_stack(limit=_DEEPEST)
            return "".join(
                _line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
                for frame in frames
            )
        frame = sys._current_frames().get(self.thread)  # noqa: SLF001 (documented, for debuggers)
        return stack_from(frame)


@dataclass(slots=True, eq=False)
class _Waiter:
    member: int
    blocks: frozenset[int]
    runner: Runner
    wake: Callable[[], object]
    blocking: bool
    granted: bool = field(default=False)


class Turns:
    """A queue for one thing; the first who waits and may go is the next.

    Args:
        what: What is waited for, for errors.
        seconds: How long to wait.
    """

    def __init__(self, what: str, seconds: float = SECONDS) -> None:
        self.what = what
        self.seconds = seconds
        self.block: Block | None = None
        self._mutex = threading.Lock()
        self._holder: Runner | None = None
        self._queue: deque[_Waiter] = deque()

    def take(self, member: int) -> None:
        """Wait for the turn of ``member``, which is some part of a transaction or none, in this thread.

        Raises:
            TurnTimedOut: It was not to be had in time, or never will: it is held further up in the same stack.
        """
        runner = Runner.current()
        if self._take_at_once(member, runner):
            return
        arrived = threading.Event()
        waiter = self._enqueue(member, arrived.set, runner, blocking=True)
        if waiter is None or arrived.wait(self.seconds):
            return
        self._give_up(waiter)

    async def atake(self, member: int) -> None:
        """Do the same in a task of asyncio.

        Raises:
            TurnTimedOut: As for :meth:`take`.
        """
        runner = Runner.current()
        if self._take_at_once(member, runner):
            return
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(arrived.set)

        waiter = self._enqueue(member, wake, runner, blocking=False)
        if waiter is None:
            return
        try:
            await asyncio.wait_for(arrived.wait(), self.seconds)
        except TimeoutError:
            self._give_up(waiter)
        except BaseException:
            # Cancelled: whoever got the turn meanwhile passes it on.
            if not self._withdraw(waiter):
                self.give()
            raise

    def give(self) -> None:
        """End the turn; the next one's begins."""
        with self._mutex:
            self._holder = None
            self._wake_next()

    def enter_block(self, member: int) -> None:
        """Open the block for ``member``, or join the one that is open; the caller has the turn."""
        block = self.block
        if block is None:
            block = self.block = Block({member}, self._holder or Runner.current())
        block.members.add(member)
        inside = _BLOCKS.get()
        if block.token not in inside:
            _BLOCKS.set(inside | {block.token})

    def leave_block(self) -> None:
        """End the block; the caller has the turn, and who waited for the block goes on when it ends."""
        block, self.block = self.block, None
        if block is not None:
            _BLOCKS.set(_BLOCKS.get() - {block.token})

    def free_block(self) -> None:
        """End the block from outside a turn."""
        with self._mutex:
            self.leave_block()
            if self._holder is None:
                self._wake_next()

    def _take_at_once(self, member: int, runner: Runner) -> bool:
        """Take the turn where nobody has it, nobody waits, and no block is open but the member's own."""
        with self._mutex:
            block = self.block
            if self._holder is not None or self._queue:
                return False
            if block is not None and member not in block.members:
                return False
            self._holder = runner
            return True

    def _enqueue(
        self, member: int, wake: Callable[[], object], runner: Runner, *, blocking: bool
    ) -> _Waiter | None:
        """Return what to wait for; None when the turn was free."""
        waiter = _Waiter(member, _BLOCKS.get(), runner, wake, blocking)
        with self._mutex:
            if self._holder is None and not self._queue and self._may_go(waiter):
                self._holder = runner
                return None
            if self._holder is not None and _never_comes(self._holder, waiter):
                raise self._timed_out(
                    runner, "it is held further up in the same stack: it would wait for ever"
                )
            self._queue.append(waiter)
            if self._holder is None:
                self._wake_next()
        return waiter

    def _wake_next(self) -> None:
        for waiter in self._queue:
            if self._may_go(waiter):
                self._queue.remove(waiter)
                self._holder = waiter.runner
                waiter.granted = True
                waiter.wake()
                return

    def _may_go(self, waiter: _Waiter) -> bool:
        """Whether no block keeps it out: it is in the block, or nobody else can go on with it."""
        block = self.block
        return (
            block is None
            or waiter.member in block.members
            or block.token in waiter.blocks
            or block.opened_by.stands_still_for(waiter.runner, blocking=waiter.blocking)
        )

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Return whether it still waited."""
        with self._mutex:
            if waiter.granted:
                return False
            self._queue.remove(waiter)
            return True

    def _give_up(self, waiter: _Waiter) -> None:
        """Return if the turn came in the last moment, or whoever had the block open has ended meanwhile.

        Raises:
            TurnTimedOut: Otherwise.
        """
        if self._withdraw(waiter):
            with self._mutex:
                if self._holder is None and self._may_go(waiter):
                    self._holder = waiter.runner
                    return
            raise self._timed_out(waiter.runner, f"{self.seconds:g} s have passed")

    def _timed_out(self, runner: Runner, why: str) -> TurnTimedOut:
        holder = self._holder or (self.block.opened_by if self.block else None)
        does = "runs a statement" if self._holder else "has a transaction open"
        holding = holder.stack() if holder else ""
        waiting = stack_from(sys._getframe(2))  # noqa: SLF001 (documented, for debuggers)
        return TurnTimedOut(
            "a turn on the connection of a test was waited for",
            on=self.what,
            seen=f"{why}\n{runner} waits at\n{waiting.rstrip()}\n{holder or 'nobody'} {does}; it stands at\n{holding.rstrip()}",
            todo=(
                "end the open transaction (commit or roll back) before others get to work on the connection",
                "use autocommit for what the test itself asks the database beside the code under test",
                "use isolation 'reset': there every thread has a connection of its own",
            ),
            holder=str(holder or ""),
            holder_stack=holding,
            waiter=str(runner),
            waiter_stack=waiting,
        )


def current_task() -> asyncio.Task[Any] | None:
    """Return the task that runs in this thread, if any."""
    # asyncio.current_task() alone raises where no loop runs, which is slow.
    if asyncio._get_running_loop() is None:  # noqa: SLF001 (asyncio's own quick question)
        return None
    return asyncio.current_task()


def place(skip: int = 1) -> str:
    """Return file and line of the nearest caller outside this package and the driver."""
    frame: FrameType | None = sys._getframe(skip)  # noqa: SLF001 (documented, for debuggers)
    while frame is not None and _is_inner(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def stack_from(frame: FrameType | None) -> str:
    """Return the innermost frames outside this package and the driver, innermost last."""
    if frame is None:
        return ""
    entries = [
        (entry.filename, entry.lineno or 0, entry.name)
        for entry in traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
        if not _is_inner(entry.filename)
    ]
    return "".join(_line(*entry) for entry in reversed(entries[:_DEEPEST]))


_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_DRIVERS = (f"{os.sep}psycopg{os.sep}", f"{os.sep}psycopg_pool{os.sep}")
_STANDARD = (str(Path(threading.__file__).parent / "contextlib.py"), threading.__file__)


@lru_cache(maxsize=1024)
def _is_inner(filename: str) -> bool:
    return (
        filename.startswith(_PACKAGE)
        or filename in _STANDARD
        or any(driver in filename for driver in _DRIVERS)
    )


def _line(filename: str, line: int, name: str) -> str:
    return f"  {filename}:{line} in {name}\n"


def _never_comes(holder: Runner, waiter: _Waiter) -> bool:
    same_thread = holder.thread == waiter.runner.thread
    return same_thread and (waiter.blocking or holder.task is waiter.runner.task)
