"""The server that all tests of this process share, kept up: a dead one is replaced, its lease and keeper with it.

::

    keeper ── postmaster ── lease ── stock ── (what is watched beside them)

That is the order of starting; stopping goes the other way round. The end of the server concerns all to the right of
it, the others' ends concern themselves alone. On somebody else's server there is no keeper, and the end of the lease
is taken for the end of the server: others may have used our slots since.
"""

from __future__ import annotations

import os
import select
import threading
from functools import partial
from typing import TYPE_CHECKING

from freshpg.core.backoff import delays
from freshpg.core.clock import Deadline
from freshpg.core.errors import (
    DiskFull,
    FreshpgError,
    KeeperGone,
    LeaseLost,
    RestartsExhausted,
    ServerDied,
    ServerError,
    ServerUnreachable,
    TooManyConnections,
)
from freshpg.supervision.endings import DYING_SECONDS, HUNG_UP, ProcessEnd, Watcher
from freshpg.supervision.strategy import ChildSpec
from freshpg.supervision.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from freshpg.core.clock import Clock
    from freshpg.core.events import Bus
    from freshpg.holding import Holding
    from freshpg.leases.lease import LeaseConnection
    from freshpg.servers.keeper.client import Keeper
    from freshpg.supervision.shared_breaker import SharedBreaker

    T = TypeVar("T")

STOP_SECONDS = 60.0
"""The whole budget of an orderly stop."""

ATTEMPTS = 4
"""How often a hand-out is tried whose server went away meanwhile."""

TRY_SECONDS = 10.0
"""How long it is tried again; what takes longer, such as a refused connection over a slow line, is not."""

LAST_PAUSE = 0.5
"""Seconds before the last attempt."""

_PASSING = (KeeperGone, LeaseLost, ServerDied, ServerUnreachable, TooManyConnections)
"""What may have passed a moment later. All else is final, or was waited for long enough."""


class SupervisedServer:
    """Holds the shared server of a manager, and gives out databases of it as long as one can be had.

    Args:
        obtain: Finds or starts a server and takes the lease on it; is given whom to tell of both.
        own: Whether it is a server of ours.
        revive_keeper: Has a successor take over what is ours when the keeper has died.
        breaker: Shared with the other workers.
        beside: Further children, which start last and stop first.
        events: Where to tell what happens.
        clock: Tells the time.
    """

    def __init__(
        self,
        obtain: Callable[[SupervisedServer], Holding],
        *,
        own: bool,
        revive_keeper: Callable[[], object],
        breaker: SharedBreaker,
        beside: Sequence[Child] = (),
        events: Bus,
        clock: Clock,
    ) -> None:
        self._obtain = obtain
        self._own = own
        self._revive_keeper = revive_keeper
        self._breaker = breaker
        self._clock = clock
        self._holding: Holding | None = None
        self._watcher = Watcher()
        self._keeper_end = ProcessEnd.unknown()
        self._owner_pid = os.getpid()
        self._server = "postmaster" if own else "server"
        self._supervisor = Supervisor(
            [*self._children(), *beside],
            events=events,
            clock=clock,
        )

    def start(self) -> None:
        """Obtain the server.

        Raises:
            FreshpgError: None could be had.
        """
        try:
            self._supervisor.start()
        except BaseException:
            self._watcher.close()
            raise

    def stop(self, *, linger: float) -> None:
        """Bring all to an end in order, within :data:`STOP_SECONDS`; one of our servers stays warm for ``linger``."""
        self._watcher.close()
        self.holding.end_by(linger=linger)
        try:
            self._supervisor.stop(STOP_SECONDS)
        finally:
            self.holding.part()
            self._keeper_end.close()
            self._breaker.close()

    @property
    def holding(self) -> Holding:
        """The server as it is held now, dead or alive."""
        assert self._holding is not None  # noqa: S101 (start() obtains it)
        return self._holding

    def hand_out(self, enter: Callable[[Holding], T]) -> T:
        """Enter a database on the server; where that fails because the server went away, on its successor.

        Raises:
            EmergencyMode: Too many hand-outs failed, here or in other workers.
            RestartsExhausted: The server, or what it takes, crashed too often.
            FreshpgError: What ``enter`` raised.
        """
        if self._supervisor.failure is not None:
            raise self._supervisor.failure.with_traceback(None)
        self._breaker.require()
        try:
            entered = self._enter(enter)
        except (ServerError, LeaseLost) as error:
            # A full disk is told at once, and is over as soon as there is room.
            if error.origin == "infrastructure" and not isinstance(error, DiskFull):
                self._breaker.failed(f"{error.headline}\n{error.seen}".strip())
            else:
                self._breaker.abandoned()
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return entered

    def lease_opened(self, connection: LeaseConnection) -> None:
        """Watch the lease of the holding that is being obtained, or was renewed."""
        ended = partial(self._lease_ended, connection)
        self._watcher.watch(connection.descriptor, HUNG_UP, ended)

    def builder_died(self, error: BaseException) -> None:
        """Hear of the death of a thread that made clones, in that thread."""
        life = self._supervisor.generation("stock")
        report = partial(
            self._supervisor.report, "stock", f"{type(error).__name__}: {error}", generation=life
        )
        # Who stops the stock meanwhile waits for the dying thread, which so must not wait for its turn.
        threading.Thread(target=report, name="freshpg restart", daemon=True).start()

    def _enter(self, enter: Callable[[Holding], T]) -> T:
        try:
            return self._enter_once(enter)
        except FreshpgError as error:
            if not self._may_help(error):
                raise
        return self._enter_again(enter)

    def _enter_again(self, enter: Callable[[Holding], T]) -> T:
        end = Deadline(TRY_SECONDS, self._clock)
        for _, wait in zip(range(ATTEMPTS - 2), delays(0.02, factor=4.0, limit=1.0), strict=False):
            self._clock.sleep(wait)
            try:
                return self._enter_once(enter)
            except FreshpgError as error:
                if end.expired or not self._may_help(error):
                    raise
        self._clock.sleep(LAST_PAUSE)
        return self._enter_once(enter)

    def _enter_once(self, enter: Callable[[Holding], T]) -> T:
        self._look()
        holding = self.holding
        entered = enter(holding)
        # It may have ended unnoticed, and not every hand-out asks the server something.
        loss = holding.loss()
        if loss is not None:
            raise loss.error()
        return entered

    def _may_help(self, error: FreshpgError) -> bool:
        """Whether to try again: the server was lost, or could not be reached for a moment."""
        if isinstance(error, RestartsExhausted) or os.getpid() != self._owner_pid:
            return False
        self.holding.end_if_gutted()
        return isinstance(error, _PASSING) or self.holding.loss() is not None

    def _look(self) -> None:
        """Have what is known to have ended restarted before somebody needs it; nobody is asked.

        In a forked child nothing is: the parent's server is the parent's business.
        """
        if not self.holding.is_lost and self._supervisor.is_up:
            return
        if os.getpid() != self._owner_pid:
            return
        # The keeper's end is told by the watcher soon enough: nothing of a hand-out depends on it.
        if self.holding.is_lost:
            self._server_ended(self.holding)
        self._supervisor.ensure()

    def _children(self) -> list[Child]:
        keeper = Child(ChildSpec("keeper"), self._start_keeper, self._forget_keeper)
        # Whether somebody else's server is up is decided by the breaker, over all workers.
        server = ChildSpec(self._server, scope="rest_for_one", stop_within=30.0)
        if not self._own:
            server = ChildSpec(self._server, "rest_for_one", None, 30.0)
        rest = (
            Child(server, self._start_server, self._stop_server, self._last_words),
            # A test that is a superuser may end all sessions, as often as it likes.
            Child(ChildSpec("lease", intensity=None), self._start_lease, self._stop_lease),
            Child(ChildSpec("stock", stop_within=30.0), self._start_stock, self._stop_stock),
        )
        return [keeper, *rest] if self._own else [*rest]

    def _start_keeper(self) -> None:
        if self._holding is not None:
            self._revive_keeper()
            self._watch_keeper(self._supervisor.generation("keeper") + 1)

    def _forget_keeper(self, _seconds: float) -> None:
        self._watcher.forget(self._keeper_end.descriptor)

    def _watch_keeper(self, life: int) -> None:
        self._forget_keeper(0.0)
        self._keeper_end.close()
        keeper = self._keeper
        if keeper is not None:
            self._keeper_end = ProcessEnd.of(keeper.pid)
            ended = partial(self._keeper_ended, life)
            self._watcher.watch(self._keeper_end.descriptor, select.POLLIN, ended)

    @property
    def _keeper(self) -> Keeper | None:
        handle = self.holding.running.handle
        return handle.keeper if handle else None

    def _start_server(self) -> None:
        if self._holding is not None:
            # What is left of a dead one goes before its successor comes: its memory may be needed.
            self._holding.part()
        holding = self._obtain(self)
        self._holding = holding
        self._watcher.watch(
            holding.process.descriptor, select.POLLIN, partial(self._server_ended, holding)
        )
        self._watch_keeper(self._supervisor.generation("keeper") if self._own else 0)

    def _stop_server(self, _seconds: float) -> None:
        self._watcher.forget(self.holding.process.descriptor)
        self.holding.part()

    def _last_words(self) -> str:
        handle = self.holding.running.handle
        return handle.log_tail() if handle else ""

    def _start_lease(self) -> None:
        if self._own:
            self.holding.renew_lease()

    def _stop_lease(self, _seconds: float) -> None:
        self.holding.unlease()

    def _start_stock(self) -> None:
        self.holding.revive_stock()

    def _stop_stock(self, seconds: float) -> None:
        self.holding.rest(seconds=seconds)

    def _server_ended(self, holding: Holding) -> None:
        loss = holding.loss()
        if loss is not None and holding is self._holding:
            self._watcher.forget(holding.process.descriptor)
            life = self._supervisor.generation(self._server)
            self._supervisor.report(self._server, loss.seen, generation=life)

    def _keeper_ended(self, life: int) -> None:
        self._supervisor.report("keeper", "its process ended", generation=life)

    def _lease_ended(self, connection: LeaseConnection) -> None:
        holding = self._holding
        if holding is None or holding.opened_lease is not connection:
            return
        try:
            connection.check()
        except LeaseLost as error:
            if not self._own:
                holding.lose_lease(error)
        else:
            # Renewed meanwhile.
            return
        # Sessions of a dying server may end a moment before its own end is told.
        if holding.process.ends_within(DYING_SECONDS) or holding.loss() is not None:
            self._server_ended(holding)
            return
        life = self._supervisor.generation("lease")
        self._supervisor.report("lease", "its session was ended", generation=life)
