"""A server that this process holds: the lease on it, and the arenas of the blueprints used there."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from freshpg.arena import Arena
from freshpg.core.backoff import delays
from freshpg.core.clock import Deadline
from freshpg.core.conninfo import redact
from freshpg.core.errors import FreshpgError, LeaseLost, ServerDied, TemplateError
from freshpg.core.faults import faultpoint
from freshpg.isolation.audit.baseline import read_baseline
from freshpg.isolation.fresh import FRESH, FreshClones
from freshpg.leases.later import HEAD_START, LaterLease
from freshpg.leases.lease import LeaseConnection
from freshpg.postgres.admin import Admin
from freshpg.postgres.sessions import end_everybody
from freshpg.servers.postmaster import HIDDEN_PORT
from freshpg.supervision.endings import ProcessEnd
from freshpg.supervision.loss import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from freshpg.core.clock import Clock
    from freshpg.core.events import Bus
    from freshpg.isolation.stock import Leave
    from freshpg.provision.running import RunningServer
    from freshpg.provision.session import Servers
    from freshpg.templates.blueprint import Blueprint

    T = TypeVar("T")

KEPT_SECONDS = 86400.0
"""How long a server of ours stays up for the sake of databases kept on it."""

ENDING_SECONDS = 2.0
"""How long a server is waited for that was told to end at once."""

RECOVERY_SECONDS = 10.0
"""How long a server may be away after the crash of one of its sessions."""

REPORT_SECONDS = 1.0
"""How long to wait for what the keeper knows of a death; it is told by the system when we are."""


class Holding:
    """One server in use by this process, from the lease to giving it back.

    Args:
        servers: Where the server came from and goes back to.
        running: The server; given back at once if no lease can be had on it.
        stock: Clones to keep ready for each blueprint.
        holder: Who uses it, for ``freshpg status``.
        events: Where to tell what happens.
        clock: Tells the time.
        on_lease: Called with the lease's connection once it is open, in whatever thread opened it.
        on_death: Called when a thread that makes clones has died, in that thread.
    """

    def __init__(
        self,
        servers: Servers,
        running: RunningServer,
        *,
        stock: int,
        holder: str,
        events: Bus,
        clock: Clock,
        on_lease: Callable[[LeaseConnection], object] = lambda _connection: None,
        on_death: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        self.running = running
        self.has_kept = False
        self.stays = 0.0
        self.process = ProcessEnd.of(running.handle.pid) if running.handle else ProcessEnd.unknown()
        self._asks_keeper = running.handle is not None and not self.process.is_watched
        self._servers = servers
        self._stock = stock
        self._holder = holder
        self._events = events
        self._clock = clock
        self._on_lease = on_lease
        self._on_death = on_death
        self._lock = threading.RLock()
        self._arenas: dict[str, Arena] = {}
        self._broken: dict[str, TemplateError] = {}
        self._loss: Loss | None = None
        self._lease_lost = threading.Event()
        self._ended_because = ""
        self._reading = threading.Lock()
        self._linger = 0.0
        self._parted = False
        self._left: dict[str, Any] = {}
        self._lease = LaterLease(self._open_lease, HEAD_START if running.fresh else 0.0)
        if running.fresh is None:
            try:
                _ = self.lease
            except BaseException:
                self.process.close()
                servers.give_back(running, linger=0)
                raise

    def _open_lease(self) -> LeaseConnection:
        connection = LeaseConnection.open(
            self.running.coordination,
            worker=self._holder,
            query_bytes=self.running.query_bytes,
            clock=self._clock,
        )
        self._on_lease(connection)
        return connection

    @property
    def lease(self) -> LeaseConnection:
        """The connection that holds our leases; raises what kept it from being opened."""
        return self._lease.connection

    @property
    def opened_lease(self) -> LeaseConnection | None:
        """The same if it is open by now; never waits."""
        return self._lease.opened

    def arena(self, blueprint: Blueprint) -> Arena:
        """Return where databases of this blueprint are handed out.

        Raises:
            TemplateError: Its template cannot be built; a broken migration is run once and not for every test.
        """
        with self._lock:
            if blueprint.name in self._broken:
                raise self._broken[blueprint.name].with_traceback(None)
            if blueprint.name not in self._arenas:
                try:
                    self._arenas[blueprint.name] = self._new_arena(blueprint)
                except TemplateError as error:
                    if error.origin == "yours":
                        self._broken[blueprint.name] = error
                    raise
            return self._arenas[blueprint.name]

    def _new_arena(self, blueprint: Blueprint) -> Arena:
        return Arena(
            self.running,
            blueprint,
            self._lease,
            ready=self._stock,
            events=self._events,
            clock=self._clock,
            on_death=self._on_death,
        )

    def note(self, test: str) -> None:
        """Let others see which test runs.

        Raises:
            LeaseLost: Somebody else may hold our slots by now.
        """
        if self._lease.note(test):
            return
        try:
            self.lease.note(test)
        except (FreshpgError, OSError) as error:
            if not self.running.own:
                if isinstance(error, LeaseLost):
                    self.lose_lease(error)
                raise
            # Nobody else uses a server of ours; a test that is a superuser there may have ended our session, and what
            # kept it from being opened at first may have passed.
            self.renew_lease()
            self.lease.note(test)

    def renew_lease(self) -> None:
        """On a server of ours: take the same leases again where their session was ended; again is fine.

        Raises:
            ServerError: No connection was to be had.
        """
        connection = self._lease.opened
        if connection is None:
            self._insist(self._lease.reopen)
        elif not connection.alive:
            self._insist(connection.renew)
            self._on_lease(connection)

    def revive_stock(self) -> None:
        """Put new threads in the place of those that died while making clones."""
        for arena in tuple(self._arenas.values()):
            arena.revive()

    def loss(self) -> Loss | None:
        """Return how the server was lost, if it was; costs a system call, and a moment where it is news."""
        if self._loss is None and self.has_died:
            with self._reading:
                # Who comes second finds it read: the keeper forgets its report once the server is given back.
                self._learn_death()
        return self._loss

    def loss_within(self, seconds: float) -> Loss | None:
        """Return the same, and wait so long for it to be told: sessions of a server may end a moment before it does."""
        handle = self.running.handle
        if self.process.is_watched:
            self.process.ends_within(seconds)
        elif self._asks_keeper and handle is not None and not self._parted:
            handle.keeper.wait_for_death(handle.id, seconds)
        else:
            self._lease_lost.wait(seconds)
        return self.loss()

    def end_if_gutted(self) -> None:
        """End a server of ours that lives on without its socket or its data: it takes up to a minute to notice itself.

        Cleaners of temporary directories remove such files, and so does a mistaken ``rm``.
        """
        handle = self.running.handle
        missing = handle.missing if handle and not self._parted and not self.has_died else ""
        if missing:
            self._ended_because = f"freshpg ended it: {missing} was gone"
            self.process.bring_about(signal.SIGQUIT, signal.SIGKILL, patience=ENDING_SECONDS)

    @property
    def is_lost(self) -> bool:
        """Whether a loss is known by now; does not look."""
        return self._loss is not None

    @property
    def has_died(self) -> bool:
        """Whether the server's process is known to have ended; nothing is known of somebody else's."""
        handle = self.running.handle
        if not self._asks_keeper or handle is None or self._parted:
            return self.process.ended
        # The system tells us nothing of processes that are not our children; the keeper, their parent, does.
        _ = handle.keeper.alive
        return self.process.ended or handle.id in handle.keeper.died

    def lose_lease(self, error: LeaseLost) -> None:
        """Note that the lease on somebody else's server ended: others may have used our slots since."""
        if self._loss is None:
            self._loss = Loss.of_lease(self.running.coordination.safe(), error.seen)
        self._lease_lost.set()

    def end(self, *, linger: float) -> None:
        """Clean up and give the server back, warm for ``linger`` seconds; 0 ends one of ours.

        Kept databases, and :attr:`stays` seconds, hold it up whatever ``linger`` says.
        """
        self.end_by(linger=linger)
        try:
            self.rest()
        finally:
            try:
                self.unlease()
            finally:
                self.part()

    def end_by(self, *, linger: float) -> None:
        """Say for how many seconds the server is to stay warm, before the three parts of the end."""
        self._linger = linger

    def rest(self, *, seconds: float = 30.0) -> None:
        """First part: bring what makes and cleans databases to an end within ``seconds``."""
        try:
            if self._ends:
                # First of all: then nobody waits for what a builder has the server do.
                self._give_back(linger=0)
            leave = self._what_stays()
            clones = {
                base: arena.close(leave, deadline=seconds) for base, arena in self._arenas_by_base()
            }
            if leave == "ready":
                self._left = self._leave_to_the_next(clones)
        except (FreshpgError, OSError):
            # A server that did not come to rest is not given to anybody else.
            self._linger = 0.0
        except BaseException:
            # Nor is one where Ctrl-C came in between: its socket may be hidden, and nobody be told where.
            self._linger = 0.0
            raise

    def unlease(self) -> None:
        """Second part: end the leases."""
        self._lease.close()
        faultpoint("holding.unleased")

    def part(self) -> None:
        """Last part: give the server back; again is fine."""
        stays = self._stays
        if self._parted:
            return
        if self.running.handle is not None and stays and self._loss is None:
            self.running.handle.pin(seconds=stays)
        self._give_back(linger=self._linger)

    @property
    def _stays(self) -> float:
        return max(self.stays, KEPT_SECONDS if self.has_kept else 0.0)

    @property
    def _ends(self) -> bool:
        if self._loss is not None:
            return True
        return self.running.own and self._linger == 0 and not self._stays

    def _give_back(self, *, linger: float) -> None:
        self._parted = True
        self.process.close()
        self._servers.give_back(self.running, linger=linger, left=self._left)

    def _insist(self, act: Callable[[], T]) -> T:
        """Do something on a server of ours, which after the crash of one session ends all others and is away a moment."""
        limit = Deadline(RECOVERY_SECONDS, self._clock)
        for delay in delays(0.01, limit=0.2):
            try:
                return act()
            except (ServerDied, LeaseLost):
                self.end_if_gutted()
                if not self.running.own or self.process.ended or limit.expired:
                    raise
            self._clock.sleep(delay)
        raise AssertionError("delays do not end")

    def _learn_death(self) -> None:
        handle = self.running.handle
        if self._loss is not None or handle is None:
            return
        try:
            died = handle.keeper.wait_for_death(handle.id, REPORT_SECONDS)
        except FreshpgError:
            died = None
        self._loss = Loss.of_process(
            handle.id,
            handle.pid,
            status=died.status if died else None,
            why=self._ended_because,
            log=redact(died.log) if died else handle.log_tail(),
        )

    def _what_stays(self) -> Leave:
        if self._ends or self.stays:
            return "everything"
        # While somebody may look into a kept database, the server's address stays as it is, and clones could be used.
        return "ready" if self.running.own and not self._stays else "nothing"

    def _arenas_by_base(self) -> Iterator[tuple[str, Arena]]:
        for arena in self._arenas.values():
            yield arena.blueprint.database, arena

    def _leave_to_the_next(self, clones: dict[str, tuple[str, ...]]) -> dict[str, Any]:
        """Shut everybody out, and return what the next owner of this server has to know."""
        handle, said = self.running.handle, self.running.fresh
        assert handle is not None  # noqa: S101 (a server of ours)
        if said is not None:
            # What nobody asked for this time is as it was.
            clones = {**said.names, **clones}
        hidden = handle.hide()
        faultpoint("holding.hidden")
        # Through a connection that came in after the door was shut: whoever was before it shows by now.
        address = self.running.coordination.with_(port=hidden[HIDDEN_PORT])
        with Admin.connect(address) as admin:
            entered = end_everybody(admin)
            baseline = read_baseline(admin)
        fresh = {
            base: tuple(name for name in names if name not in entered)
            for base, names in clones.items()
        }
        return {**hidden, FRESH: FreshClones(fresh, baseline).to_json()}
