"""What a process says about its tenant pools: who holds what, for how long, doing what, and where in the code."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from freshpg.core.errors import UsageInvalid
from freshpg.tenants.lease import pid_of, place_of
from freshpg.tenants.live.statements import statements_of
from freshpg.tenants.liveness import sever

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from freshpg.tenants.ledger import Ledger
    from freshpg.tenants.live.statements import Statement
    from freshpg.tenants.parts import Member
    from freshpg.tenants.stats import PoolStats, TenantStats

STUCK = 30.0
"""Seconds after which a lease counts as stuck, unless asked otherwise."""
_WORDS = ("idle", "active", "idle in transaction", "idle in transaction (aborted)", "lost")
"""For psycopg's ``TransactionStatus``, in the words of ``pg_stat_activity.state``."""
_BETWEEN = frozenset({"asyncio", "contextlib", "freshpg", "psycopg", "selectors", "threading"})
"""Packages whose frames do not tell a user where his own code is."""
_DEEP = 8


class Books(Protocol):
    """The half of pools that keeps the books, for threads or for tasks."""

    ledger: Ledger[Any]
    lock: threading.Lock

    def monotonic(self) -> float:
        """Seconds of the pools' clock."""


class Shown(Protocol):
    """Tenant pools, for threads or for tasks."""

    name: str
    _engine: Any

    def stats(self) -> TenantStats:
        """A snapshot."""


def show(pools: Shown, *, stuck: float = STUCK) -> dict[str, Any]:
    """Return everything as plain data; servers are asked for statements, without the pools' lock."""
    books: Books = pools._engine  # noqa: SLF001 (this is a part of the pools)
    stats, now = pools.stats(), books.monotonic()
    with books.lock:
        held = [(member, member.owner, member.since) for member in books.ledger.leased()]
    statements, problems = statements_of(member for member, _, _ in held)
    leases = []
    for member, owner, since in held:
        key = member.pool.server.key, pid_of(member.connection)
        leases.append(_lease(member, owner, now - since, statements.get(key, ("", ""))))
    leases.sort(key=lambda lease: -lease["seconds"])
    for lease in leases:
        lease["stuck"] = lease["seconds"] >= stuck
    return {
        "name": pools.name,
        "pools": [_pool(pool) for pool in (stats.system, *stats.pools) if pool is not None],
        "open_pools": stats.open_pools,
        "max_pools": stats.max_pools,
        "connections": stats.connections,
        "idle": stats.idle,
        "opening": stats.opening,
        "waiting": stats.waiting,
        "states": dict(Counter(lease["state"] for lease in leases)),
        "evictions": stats.evictions,
        "timeouts": stats.totals.timeouts,
        "limit_hits": dict(stats.limit_hits),
        "servers": {key: {"capacity": units, "tenants_may_use": stats.shares[key]}
                    for key, units in stats.capacities.items()},
        "leases": leases,
        "problems": problems,
    }  # fmt: skip


def end(pools: Shown, pid: int) -> dict[str, Any] | None:
    """Cut a connection in use off from its holder; return what it was, ``None`` when there is none with that pid.

    What runs on it is cancelled; its holder gets an error at once or at the next use, as from a broken connection.

    Raises:
        UsageInvalid: Connections to several servers have that number.
    """
    books: Books = pools._engine  # noqa: SLF001 (this is a part of the pools)
    now = books.monotonic()
    with books.lock:
        found = [one for one in books.ledger.leased() if pid_of(one.connection) == pid]
        leases = [_lease(one, one.owner, now - one.since) for one in found]
        if len(found) == 1:
            # Its holder may give it back between being cancelled and being cut off.
            books.ledger.condemn(found[0])
    if not found:
        return None
    if len(found) > 1:
        raise UsageInvalid(
            "a lease was to be ended",
            on=str(pid),
            seen=f"connections to {', '.join(lease['server'] for lease in leases)} have that number",
            todo=("end it on its server: SELECT pg_terminate_backend(…)",),
        )
    sever(found[0].connection)
    return leases[0]


def _pool(pool: PoolStats) -> dict[str, Any]:
    return {
        "tenant": pool.tenant,
        "server": pool.server,
        "limit": pool.limit,
        "used": pool.used,
        "idle": pool.idle,
        "opening": pool.opening,
        "waiting": pool.waiting,
    }


def _lease(
    member: Member[Any], owner: Any, seconds: float, statement: Statement = ("", "")
) -> dict[str, Any]:
    place = place_of(member)
    taken = member.where or ((place,) if place else ())
    return {
        "tenant": member.pool.tenant,
        "server": member.pool.server.key,
        "pid": pid_of(member.connection),
        "state": _WORDS[int(member.connection.pgconn.transaction_status)],
        "seconds": seconds,
        "query": statement[0],
        "waits_for": statement[1],
        "owner": _name(owner),
        "now_at": [_place(frame) for frame in _frames_of(owner)],
        "taken_at": [f"{file}:{line} in {function}" for file, line, function in taken[:_DEEP]],
    }


def _name(owner: Any) -> str:
    if isinstance(owner, asyncio.Task):
        return f"task {owner.get_name()}"
    return f"thread {owner.name}" if isinstance(owner, threading.Thread) else "nobody known"


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"


def _frames_of(owner: Any) -> list[FrameType]:
    """Return where a holder is at this moment, the innermost of the user's own frames first."""
    frames: list[FrameType] = []
    # It runs on while it is looked at.
    with suppress(Exception):
        found = _of_task(owner) if isinstance(owner, asyncio.Task) else _of_thread(owner)
        frames.extend(frame for frame in found if not _is_between(frame))
    return frames[:_DEEP]


def _of_thread(owner: Any) -> Iterator[FrameType]:
    frame = sys._current_frames().get(owner.ident)  # noqa: SLF001 (documented, for debuggers)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _of_task(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Walk down what a task awaits; a stack of a suspended task knows only its outermost frame."""
    chain: list[FrameType] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = next(
            (
                found
                for name in ("cr_frame", "gi_frame", "ag_frame")
                if (found := getattr(awaited, name, None)) is not None
            ),
            None,
        )
        if frame is not None:
            chain.append(frame)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    yield from reversed(chain)


def _is_between(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN
