"""Who holds which connection, as data."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from freshpg.tenants.parts import Member

_DEEP = 40
"""Frames of a stack that are kept."""

Stack = tuple[tuple[str, int, str], ...]
"""File, line and function, the innermost first."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One connection in use."""

    tenant: str | None
    """``None`` for the system pool."""
    owner: str
    """The thread or task that took it."""
    seconds: float
    """How long it has been held."""
    pid: int
    """Process id of the server's side."""
    where: str = ""
    """File and line that took it."""
    stack: Stack = ()
    """The calls that led there, the innermost first; only recorded with ``leak_after``."""

    def __str__(self) -> str:
        whose = "system" if self.tenant is None else self.tenant
        place = f" at {self.where}" if self.where else ""
        return f"{whose}: pid {self.pid}, held for {self.seconds:.3g} s by {self.owner}{place}"


def lease_of(member: Member[Any], now: float, owner: str) -> Lease:
    """Return what is known of a connection in use."""
    place = place_of(member)
    return Lease(
        tenant=member.pool.tenant,
        owner=owner,
        seconds=now - member.since,
        pid=pid_of(member.connection),
        where=f"{place[0]}:{place[1]}" if place else "",
        stack=member.where or (),
    )


def pid_of(connection: Any) -> int:
    """Return the process id of the server's side; 0 when the connection is closed."""
    pgconn = connection.pgconn
    return int(pgconn.backend_pid) if pgconn.status == 0 else 0


Site = tuple["CodeType", int]
"""A place in the code, not spelled out: cheap enough for every checkout."""

_OURS = (str(Path(__file__).parent), contextlib.contextmanager.__code__.co_filename)
"""Files that take connections for somebody else."""


def call_site() -> Site | None:
    """Return which place called whoever calls this, past freshpg's own helpers."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 (documented, for debuggers)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def place_of(member: Member[Any]) -> tuple[str, int, str] | None:
    """Return file, line and function that took a connection, or had it last."""
    if member.where:
        place: tuple[str, int, str] = member.where[0]
        return place
    if member.site is None:
        return None
    code, at = member.site
    lines = (line for first, end, line in code.co_lines() if first <= at < end and line)
    return code.co_filename, next(lines, code.co_firstlineno), code.co_qualname


def calling_stack() -> Stack:
    """Return the stack of whoever called freshpg, without freshpg's own frames."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (documented, for debuggers)
    while frame is not None and _is_between(frame):
        frame = frame.f_back
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < _DEEP:
        code = frame.f_code
        found.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return tuple(found)


def _is_between(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith("freshpg.tenants.") or name == "contextlib"


def name_of(owner: Any) -> str:
    """Return what a task is called."""
    return owner.get_name() if owner is not None else "no task"
