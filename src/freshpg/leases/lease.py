"""The one connection through which a process holds its leases."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.pq import ConnStatus

from freshpg.core.backoff import delays
from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import FreshpgError, LeaseLost
from freshpg.core.faults import faultpoint
from freshpg.leases.forks import abandon, disown_in_children
from freshpg.leases.holder import HolderNote, to_comment
from freshpg.leases.keepalives import with_keepalives
from freshpg.leases.locks import holders, none_free
from freshpg.leases.slots import READONLY, Slot, lock_class
from freshpg.leases.teller import EVERY, Teller
from freshpg.postgres.admin import Admin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import NoFreeSlot

APPLICATION = "freshpg lease"

PING_EVERY = 60.0
"""Seconds between two signs of life on a connection over TCP."""

_REPLY_LIMIT = 10.0
"""Seconds the server may take to acknowledge a note."""


class LeaseConnection:
    """Leases of one process: advisory locks of one session on the coordination database.

    They end when they are released, when :meth:`close` is called, or when the process or its connection dies, and
    never otherwise. Safe to use from several threads. A forked child loses its copy without ending the parent's.
    """

    def __init__(
        self,
        admin: Admin,
        note: HolderNote,
        *,
        query_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.clock = clock
        self._admin = admin
        self._note = note
        self._held: set[Slot] = set()
        self._shared: set[str] = set()
        self._lock = threading.RLock()
        self._closed = False
        self._limit = query_bytes or _query_bytes(admin)
        self._spelled = b""
        self._teller = Teller(self._tell_late)
        self._next_telling = 0.0
        self._stop_pinging = threading.Event()
        disown_in_children(self)

    @classmethod
    def open(
        cls,
        conninfo: Conninfo,
        *,
        worker: str = "",
        query_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        ping_every: float = PING_EVERY,
    ) -> Self:
        """Connect to the coordination database as its admin; over TCP, show signs of life every ``ping_every`` seconds.

        ``query_bytes`` is the server's ``track_activity_query_size`` where it is known; else the server is asked.

        Raises:
            ServerError: No connection was to be had.
        """
        remote = not conninfo.is_socket
        admin = Admin.connect(
            with_keepalives(conninfo) if remote else conninfo, application_name=APPLICATION
        )
        try:
            faultpoint("lease.connected")
            since = datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="seconds")
            note = HolderNote(os.getpid(), socket.gethostname(), worker=worker, since=since)
            lease = cls(admin, note, query_bytes=query_bytes, clock=clock)
            if remote:
                lease.ping_in_background(ping_every)
        except BaseException:
            admin.close()
            raise
        return lease

    @property
    def backend(self) -> int:
        """Process id of the server's side."""
        return self._admin.pid

    @property
    def descriptor(self) -> int:
        """Its socket, for whoever wants to be told of its end; -1 when it has ended."""
        return -1 if self._admin.closed else self._admin.connection.pgconn.socket

    @property
    def held(self) -> tuple[Slot, ...]:
        """The slots held now."""
        return tuple(sorted(self._held))

    @property
    def alive(self) -> bool:
        """Whether the leases still stand, as far as this side can know without a round trip."""
        with self._lock:
            return not self._closed and self._admin.alive

    def check(self) -> None:
        """Make sure that the leases still stand.

        Raises:
            LeaseLost: The connection that held them is gone; somebody else may hold the slots by now.
        """
        if not self.alive:
            raise self._lost("the connection is closed" if self._closed else "the connection broke")

    def lease(
        self, base: str, how_many: int = 1, limit: int = 64, *, deadline: float = 30.0
    ) -> list[Slot]:
        """Take the first ``how_many`` free slots of ``base`` among numbers 1 to ``limit``.

        Where fewer are free, those are taken; where none is, wait for one up to ``deadline`` seconds.

        Raises:
            NoFreeSlot: All are held at the deadline; names the holders.
            LeaseLost: The connection broke.
        """
        end = Deadline(deadline, self.clock)
        # Polled, never asked once: a dead holder's lock lives on for some milliseconds after its process.
        for delay in delays(0.002, limit=0.25):
            slots = self._take(base, how_many, limit)
            if slots:
                return slots
            if end.expired:
                break
            self.clock.sleep(min(delay, end.remaining))
        raise self._none_free(base, limit, deadline)

    def hold(self, slots: Iterable[Slot]) -> None:
        """Take these very slots, which nobody else can want; a dead holder's locks are waited for.

        Raises:
            ServerError: Somebody holds one after all.
            LeaseLost: The connection broke.
        """
        with self._lock:
            new = set(slots) - self._held
            locks = (
                f"pg_catalog.pg_advisory_lock({lock_class(slot.base)}, {slot.number})"
                for slot in sorted(new)
            )
            self._ask(f"SELECT {', '.join(locks)}")
            self._held |= new
            faultpoint("lease.held")

    def renew(self) -> None:
        """Take the same leases again after the connection broke, where nobody else can have used the slots meanwhile.

        Raises:
            ServerError: No connection was to be had, or somebody else holds a slot after all.
        """
        with self._lock:
            self._admin.close()
            self._admin = Admin.connect(self._admin.conninfo, application_name=APPLICATION)
            try:
                self._hold_again()
            except FreshpgError:
                # Who has lost some of its leases must not look as if it had them.
                self._admin.close()
                raise

    def _hold_again(self) -> None:
        # The dying session may still hold its locks for some milliseconds: wait for them.
        for slot in self._held:
            self._ask(f"SELECT pg_catalog.pg_advisory_lock({lock_class(slot.base)}, {slot.number})")
        for base in self._shared:
            self._ask(f"SELECT pg_catalog.pg_advisory_lock_shared({lock_class(base)}, {READONLY})")

    def release(self, slots: Iterable[Slot]) -> None:
        """Give slots back; ones that are not held are passed over."""
        with self._lock:
            for slot in self._held.intersection(slots):
                self._ask(
                    f"SELECT pg_catalog.pg_advisory_unlock({lock_class(slot.base)}, {slot.number})"
                )
                self._held.discard(slot)

    def share_readonly(self, base: str) -> bool:
        """Take part in the use of the shared read-only database; ``False`` while somebody is replacing it.

        Raises:
            LeaseLost: The connection broke.
        """
        with self._lock:
            self.check()
            if base not in self._shared:
                keys = f"{lock_class(base)}, {READONLY}"
                if not self._ask(f"SELECT pg_catalog.pg_try_advisory_lock_shared({keys})")[0][0]:
                    return False
                self._shared.add(base)
            return True

    def leave_readonly(self, base: str) -> None:
        """End the use of the shared read-only database; again is fine."""
        with self._lock:
            if base in self._shared:
                self._shared.discard(base)
                self._ask(
                    f"SELECT pg_catalog.pg_advisory_unlock_shared({lock_class(base)}, {READONLY})"
                )

    def note(self, test: str | None = None) -> None:
        """Let others see which test runs; where the one before was told just now, a moment later.

        Raises:
            LeaseLost: The connection broke.
        """
        with self._lock:
            if test is not None and test != self._note.test:
                self._note, self._spelled = replace(self._note, test=test), b""
            self.check()
            now = self.clock.monotonic()
            if test is not None and now < self._next_telling:
                self._teller.soon()
                return
            if test is not None:
                self._next_telling = now + EVERY
            self._tell()

    @contextmanager
    def borrow(self) -> Iterator[Admin]:
        """Lend the connection for a few control statements of this process, which saves it another one; leases stay.

        Raises:
            LeaseLost: The connection is gone.
        """
        with self._lock:
            self.check()
            with self._speaking():
                self._read_reply()
            try:
                yield self._admin
            finally:
                if self.alive:
                    self.note()

    def ping_in_background(self, seconds: float) -> None:
        """Show a sign of life every ``seconds`` from a daemon thread, until closed or lost."""
        threading.Thread(
            target=self._ping_on, args=(seconds,), name="freshpg lease ping", daemon=True
        ).start()

    def close(self) -> None:
        """Release everything by ending the connection; again is fine."""
        self._stop_pinging.set()
        self._teller.close()
        with self._lock:
            self._closed = True
            self._held.clear()
            self._shared.clear()
            self._admin.close()

    def disown(self) -> None:
        """In a forked child: forget the leases, which stay the parent's."""
        # The lock may have been held by a thread that does not exist here.
        self._lock = threading.RLock()
        self._closed = True
        self._held = set()
        self._shared = set()
        abandon(self._admin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, base: str, how_many: int, limit: int) -> list[Slot]:
        with self._lock:
            mine = ",".join(str(slot.number) for slot in self._held if slot.base == base)
            # The function scan yields numbers in order and the filter runs row by row until LIMIT is reached, so no
            # lock is taken beyond those returned. Locks are counted: our own numbers must not be tried again.
            rows = self._ask(
                f"SELECT n FROM pg_catalog.generate_series(1, {int(limit)}) AS n"
                f" WHERE n <> ALL('{{{mine}}}'::int[])"
                f" AND pg_catalog.pg_try_advisory_lock({lock_class(base)}, n) LIMIT {int(how_many)}"
            )
            slots = [Slot(base, number) for (number,) in rows]
            self._held.update(slots)
            faultpoint("lease.taken")
            return slots

    def _ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self._speaking():
            self._read_reply()
            return self._admin.rows(f"{statement} {self._comment.decode('ascii')}")

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, FreshpgError) as error:
            if self._admin.connection.pgconn.status == ConnStatus.OK:
                raise
            raise self._lost(str(error)) from None

    @property
    def _comment(self) -> bytes:
        self._spelled = self._spelled or to_comment(self._note, self._limit)
        return self._spelled

    def _tell(self) -> None:
        with self._speaking():
            self._read_reply()
            # A statement of nothing but a comment: the server shows it and has nothing to run. Its reply is not
            # waited for.
            self._admin.connection.pgconn.send_query(self._comment)

    def _tell_late(self) -> None:
        # Whoever uses a lease next is told by check().
        with suppress(LeaseLost), self._lock:
            self._tell()

    def _read_reply(self) -> None:
        pgconn = self._admin.connection.pgconn
        end = Deadline(_REPLY_LIMIT, self.clock)
        while pgconn.is_busy():
            ready, _, _ = select.select([pgconn.socket], [], [], end.remaining)
            if not ready:
                raise self._lost(f"the server did not reply for {_REPLY_LIMIT:g} s")
            pgconn.consume_input()
        while pgconn.get_result() is not None:
            pass

    def _ping_on(self, seconds: float) -> None:
        while not self._stop_pinging.wait(seconds):
            try:
                self.note()
            except LeaseLost:
                # Whoever uses a lease next is told by check().
                return

    def _none_free(self, base: str, limit: int, waited: float) -> NoFreeSlot:
        with self.borrow() as admin:
            found = [
                # Our own last statement is the question itself.
                replace(held, note=self._note) if held.backend == admin.pid else held
                for held in holders(admin, [base])
            ]
        return none_free(base, limit, waited, found)

    def _lost(self, seen: str) -> LeaseLost:
        return LeaseLost(
            "the leases of this process ended while it still used them",
            on=", ".join(slot.name for slot in self.held) or self._admin.conninfo.safe(),
            seen=seen.strip(),
            todo=(
                "run the tests again: what they saw since may not have been theirs alone",
                "look into the server's log for why it ended the connection",
            ),
            slots=tuple(slot.name for slot in self.held),
        )


def _query_bytes(admin: Admin) -> int:
    size = admin.value(
        "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('track_activity_query_size'))"
    )
    return int(size)
