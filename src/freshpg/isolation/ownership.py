"""Who may use what a test has one of: the test, what it starts, whom it allows. Knows no driver.

The modes and their words are those of Ecto's sandbox (https://hexdocs.pm/ecto_sql/Ecto.Adapters.SQL.Sandbox.html).
"""

from __future__ import annotations

import itertools
import threading
import weakref
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from freshpg.core.errors import ConnectionNotAllowed, LeaseClosed, UsageInvalid
from freshpg.isolation.turns import current_task, place

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Mode = Literal["manual", "automatic", "shared"]
MODES: tuple[Mode, ...] = get_args(Mode)

Allowed = TypeVar("Allowed")

_HEIRS: ContextVar[frozenset[int]] = ContextVar("freshpg_heirs", default=frozenset())
"""Ownerships handed on to this context: a task and ``asyncio.to_thread`` copy the context of who starts them."""

_NAMED: ContextVar[frozenset[int]] = ContextVar("freshpg_allowed", default=frozenset())
"""Ownerships whose :meth:`Ownership.allow` made this context: they count in mode ``manual`` too."""

_TOKENS = itertools.count(1)


class Ownership:
    """The right of one test to use its connection.

    ``automatic`` (the default): the thread that took the database, and every thread or task that inherits its context.
    ``manual``: that thread, and whom :meth:`allow` names. ``shared``: everybody in this process.

    Args:
        what: What is owned, for errors.
        test: Whose it is, for errors.
    """

    def __init__(self, what: str, test: str = "", mode: Mode = "automatic") -> None:
        self.what = what
        self.test = test
        self._mode = mode
        self._token = next(_TOKENS)
        self._owner = threading.get_ident()
        self._owner_name = threading.current_thread().name
        self._allowed: weakref.WeakSet[threading.Thread | asyncio.Task[Any]] = weakref.WeakSet()
        self._handed_out = ""
        self._ended = ""

    @property
    def mode(self) -> Mode:
        """``manual``, ``automatic`` or ``shared``."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in MODES:
            raise UsageInvalid(
                "a mode of ownership was chosen",
                on=repr(mode),
                seen="there is no such mode",
                todo=(f"use one of: {', '.join(MODES)}",),
            )
        self._mode = mode

    def hand_out(self) -> None:
        """Note where the connection is given to the test; contexts copied from this one inherit it."""
        self._handed_out = place()
        if self._token not in _HEIRS.get():
            _HEIRS.set(_HEIRS.get() | {self._token})

    def allow(self, whom: Allowed) -> Allowed:
        """Let a thread, a task, or whoever calls a function use the connection as well, in every mode.

        Returns:
            The thread or task; for a function the one to call in its place.

        Raises:
            UsageInvalid: It is none of these.
        """
        if isinstance(whom, threading.Thread) or _is_task(whom):
            self._allowed.add(cast("threading.Thread", whom))
            return whom
        if callable(whom):
            return cast("Allowed", self._allowing(whom))
        raise UsageInvalid(
            "somebody was to be allowed to use the connection of a test",
            on=repr(whom),
            seen=f"it is a {type(whom).__name__}",
            todo=("name a threading.Thread, an asyncio.Task or a function",),
        )

    def require(self) -> None:
        """Check that the caller may use the connection now.

        Raises:
            LeaseClosed: The test has ended.
            ConnectionNotAllowed: It belongs to a test, and not to the caller.
        """
        if self._ended:
            raise self._too_late()
        if self._mode == "shared" or self._is_owner() or self._is_allowed():
            return
        raise self._stranger()

    def end(self) -> None:
        """The test has ended: nobody may use it from now on."""
        self._ended = place() or "the end of the test"
        _HEIRS.set(_HEIRS.get() - {self._token})

    def _is_owner(self) -> bool:
        if self._mode == "automatic" and self._token in _HEIRS.get():
            return True
        return threading.get_ident() == self._owner

    def _is_allowed(self) -> bool:
        if not self._allowed and self._mode != "manual":
            return False
        task = current_task()
        return (
            threading.current_thread() in self._allowed
            or (task is not None and task in self._allowed)
            or self._token in _NAMED.get()
        )

    def _allowing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        context = copy_context()
        context.run(lambda: _HEIRS.set(_HEIRS.get() | {self._token}))
        context.run(lambda: _NAMED.set(_NAMED.get() | {self._token}))

        @wraps(work)
        def allowed(*args: Any, **options: Any) -> Any:
            # A copy for each call: one context cannot be entered by two threads at a time.
            return context.copy().run(work, *args, **options)

        return allowed

    def _too_late(self) -> LeaseClosed:
        return LeaseClosed(
            "the connection of a test was used after the test had ended",
            on=self.what,
            seen="\n".join(
                [
                    f"handed out to {self.test or 'a lease'} at {self._handed_out or 'its beginning'}, ended since",
                    f"used at {place()} by {_caller()}",
                ]
            ),
            todo=(
                "wait in the test for the threads and tasks it starts (join, gather)",
                "take a connection where it is used, and do not keep it in a module or a global pool",
            ),
            handed_out=self._handed_out,
            used=place(),
        )

    def _stranger(self) -> ConnectionNotAllowed:
        return ConnectionNotAllowed(
            "the connection of a test was used by somebody it was not given to",
            on=self.what,
            seen="\n".join(
                [
                    f"it belongs to {self.test or 'a lease'} in thread {self._owner_name}, handed out at {self._handed_out or 'its beginning'}",
                    f"{_caller()} used it at {place()}; ownership is {self._mode!r}",
                ]
            ),
            todo=(
                "allow it: db.allow(thread) before it starts, or Thread(target=db.allow(work))",
                "start it in a way that hands the context on: a task, asyncio.to_thread, copy_context().run",
                'share it with everything in this process: db.ownership = "shared"',
                "use isolation 'reset': there every thread has a connection of its own",
            ),
            handed_out=self._handed_out,
            used=place(),
        )


def _is_task(whom: object) -> bool:
    import asyncio

    return isinstance(whom, asyncio.Task)


def _caller() -> str:
    task = current_task()
    name = threading.current_thread().name
    return f"thread {name}, task {task.get_name()}" if task is not None else f"thread {name}"
