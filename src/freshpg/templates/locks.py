"""Advisory locks of templates, on the coordination database: one to build, one to say "in use".

Session level, and without an open transaction: a snapshot held here would make CREATE INDEX CONCURRENTLY of a
migration wait for it. The server frees them when the session ends, so a killed builder blocks nobody.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import TemplateBusy, WaitTimedOut
from freshpg.templates.digests import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.core.clock import Deadline
    from freshpg.postgres.admin import Admin

_SLICE = 2.0
"""Seconds to wait at a time; between two the waiter can tell whom it waits for."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds a lock."""

    pid: int
    application: str
    user: str
    client: str
    since: str
    seconds: float

    def __str__(self) -> str:
        where = f" from {self.client}" if self.client else ""
        return f"pid {self.pid}, {self.application!r} as {self.user}{where}, connected since {self.since} ({self.seconds:.0f} s)"


def build_key(template: str) -> int:
    """Return the key of the lock under which the template of this name is built."""
    return _key("build", template)


def use_key(template: str) -> int:
    """Return the key of the lock that every user of a template shares, and whoever removes it must have alone."""
    return _key("use", template)


def try_lock(admin: Admin, key: int) -> bool:
    """Take a lock if nobody holds it."""
    return bool(admin.value("SELECT pg_catalog.pg_try_advisory_lock(%s)", (key,)))


def try_share(admin: Admin, key: int) -> bool:
    """Take a lock together with others if nobody holds it alone."""
    return bool(admin.value("SELECT pg_catalog.pg_try_advisory_lock_shared(%s)", (key,)))


def unlock(admin: Admin, key: int) -> None:
    """Give back what :func:`try_lock` or :func:`locked` took."""
    admin.value("SELECT pg_catalog.pg_advisory_unlock(%s)", (key,))


def unshare(admin: Admin, key: int) -> None:
    """Give back what :func:`try_share` took."""
    admin.value("SELECT pg_catalog.pg_advisory_unlock_shared(%s)", (key,))


@contextmanager
def locked(
    admin: Admin, key: int, *, what: str, deadline: Deadline, waiting: Callable[[str], None]
) -> Iterator[None]:
    """Hold a lock alone; while somebody else has it, call ``waiting`` with a line that names them.

    Raises:
        TemplateBusy: It was not to be had before ``deadline``.
    """
    while not try_lock(admin, key):
        holders = holders_of(admin, key)
        if deadline.expired:
            raise _busy(what, holders, deadline)
        waiting(", ".join(str(holder) for holder in holders) or "a session that just ended")
        if _wait(admin, key, min(_SLICE, deadline.remaining)):
            break
    try:
        yield
    finally:
        if not admin.closed:
            unlock(admin, key)


def holders_of(admin: Admin, key: int) -> list[Holder]:
    """Return who holds a lock."""
    rows = admin.rows(
        """
        SELECT a.pid, a.application_name, coalesce(a.usename, ''),
               coalesce(nullif(a.client_hostname, ''), host(a.client_addr), ''),
               to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'),
               extract(epoch FROM clock_timestamp() - a.backend_start)::float8
          FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32) | l.objid::bigint = %s
        """,
        (key,),
    )
    return [Holder(*row) for row in rows]


def _wait(admin: Admin, key: int, seconds: float) -> bool:
    # 0 would mean no limit at all.
    admin.execute(f"SET lock_timeout = {max(1, int(seconds * 1000))}")
    try:
        admin.value("SELECT pg_catalog.pg_advisory_lock(%s)", (key,))
    except WaitTimedOut:
        return False
    finally:
        if not admin.closed:
            admin.execute("RESET lock_timeout")
    return True


def _busy(what: str, holders: list[Holder], deadline: Deadline) -> TemplateBusy:
    return TemplateBusy(
        f"waited {deadline.seconds:g} s for {what}",
        on=what,
        seen="\n".join(f"held by {holder}" for holder in holders) or "the holder just went away",
        todo=(
            "wait for that run to finish, or end it",
            "raise the blueprint's deadline when its migrations really take that long",
        ),
        holders=tuple(str(holder) for holder in holders),
        pids=tuple(holder.pid for holder in holders),
    )


def _key(purpose: str, template: str) -> int:
    return int.from_bytes(
        bytes.fromhex(digest("freshpg", purpose, template))[:8], "big", signed=True
    )
