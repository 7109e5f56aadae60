"""The stock: clones of one template, made ready in the background while tests run.

A clone is marked as used (kind ``slot``) from the moment it exists. So handing one out writes nothing, and a crash at
any moment leaves only databases that look used and are replaced. Those still untouched at an orderly stop may be left
to the next process, which has to be told by somebody who knows that nobody could enter them since.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import FreshpgError, NotOurs, UsageInvalid, WaitTimedOut
from freshpg.core.events import Bus, CloneMade
from freshpg.core.faults import faultpoint
from freshpg.isolation.audit.baseline import read_baseline
from freshpg.isolation.builders import Builders, Orders
from freshpg.isolation.cloning import Cloner, require_of_source
from freshpg.isolation.ledger import Ledger
from freshpg.leases.forks import disown_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from freshpg.core.clock import Clock
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.cloning import CloneSource
    from freshpg.isolation.fresh import FreshClones
    from freshpg.isolation.ledger import Job
    from freshpg.leases.slots import Slot
    from freshpg.postgres.databases import Databases

Leave = Literal["ready", "nothing", "everything"]

_IDLE = 60.0
"""Seconds after which an idle builder looks again, were a wake-up ever lost."""

_HEAD_START = 0.01
"""Seconds; one session starts in 2 to 3 ms."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A clone handed out, when it was known to be fresh, and the seconds its taker had to wait; 0 if it stood ready."""

    name: str
    waited: float
    baseline: Baseline


class CloneStock:
    """Keeps clones of one template ready on the leased slots of one process.

    ``connect`` opens control connections to the coordination database; each builder opens its own when it has work. A
    second builder starts once a taker had to wait. All threads are daemons: they never keep the interpreter. A builder
    that dies, of something no job is to blame for, tells ``on_death``; :meth:`revive` puts another in its place.
    """

    def __init__(
        self,
        connect: Callable[[], Databases],
        source: CloneSource,
        slots: Sequence[Slot],
        *,
        target: int = 2,
        builders: int = 3,
        clock: Clock = SYSTEM_CLOCK,
        events: Bus | None = None,
        on_death: Callable[[BaseException], object] = lambda _error: None,
    ) -> None:
        self.source = source
        self.slots = {slot.name: slot for slot in slots}
        self.clock = clock
        self._connect = connect
        self._builders = Builders(
            Orders(
                connect=lambda: Cloner(connect(), source),
                hold_back=self._give_head_start,
                next_job=self._next_job,
                do=self._do,
                failed=self._failed,
                died=self._died,
                on_death=on_death,
            ),
            builders,
            f"freshpg clones of {source.base}",
        )
        self._events = events or Bus()
        self._ledger = Ledger([slot.name for slot in slots], target)
        self._baselines: dict[str, Baseline] = {}
        self._oids: dict[str, int] = {}
        self._share_a_lock()
        self._failure: Exception | None = None
        self._cuts = 0
        self._state: Literal["new", "open", "stopped", "forked"] = "new"
        disown_in_children(self)

    def start(
        self, databases: Databases | None = None, *, fresh: FreshClones | None = None
    ) -> None:
        """Find out what is there on these slots, and start to fill up.

        ``databases`` is a connection to do the first with, which is needed no more afterwards; without one the first
        builder's is opened here. With ``fresh``, which knows, nobody is asked.

        Raises:
            NotOurs: A slot's name belongs to a database that freshpg did not make.
            ServerError: No connection was to be had.
        """
        cloner = None if fresh else self._look(databases)
        with self._work:
            if fresh:
                self._adopt(fresh)
            self._state = "open"
            self._builders.add(cloner)

    @property
    def ready(self) -> int:
        """How many clones stand ready now."""
        with self._work:
            return self._ledger.count("ready")

    def take(self, deadline: float = 60.0, holder: str = "") -> Taken:
        """Return a clone that nobody has used; wait up to ``deadline`` seconds when none stands ready.

        Raises:
            WaitTimedOut: None was ready in time; names who holds the slots.
            FreshpgError: What kept the builders from making one.
        """
        with self._work:
            self._require_open()
            name = self._ledger.take(holder)
            if name is not None:
                self._work.notify_all()
                return Taken(name, 0.0, self._baselines[name])
            return self._take_when_ready(Deadline(deadline, self.clock), holder)

    @contextmanager
    def untouched(self, holder: str, deadline: float = 60.0) -> Iterator[str]:
        """Lend a fresh clone to somebody who only reads; it then stands ready again. Raises as :meth:`take` does.

        Raises:
            UsageInvalid: The only slot is somebody's.
        """
        if len(self.slots) == 1:
            raise UsageInvalid(
                "a second clone was asked for", on=self.source.base, seen="there is one slot"
            )
        name = self.take(deadline, holder).name
        remains: tuple[str, ...] = (name,)
        try:
            yield name
            remains = ()
        finally:
            with self._work:
                if self._state == "open":
                    self._ledger.used(name, remains)
                    if not remains:
                        self._ledger.ready(name)
                    self._wake_all()

    def give_back(self, name: str, *, remains: Sequence[str] | None = None) -> None:
        """Let a used slot be dropped and cloned again in the background.

        ``remains`` names the databases to drop where that is not ``name`` itself; none means there is nothing left.
        """
        with self._work:
            if self._state != "open":
                # stop() has seen to it already.
                return
            self._ledger.used(name, (name,) if remains is None else remains)
            self._work.notify_all()

    def oid_of(self, name: str) -> int:
        """Return the oid of the database that should have a slot's name; 0 where it is not known.

        It is known of all that this process made or found. On a server of ours another one may have made it.
        """
        return self._oids.get(name, 0)

    def note(self, oids: Mapping[str, int]) -> None:
        """Hear which databases have been given which names."""
        self._oids.update(oids)

    def stop(self, leave: Leave = "nothing", deadline: float = 30.0) -> list[str]:
        """End the builders and clean up; again is fine. Return the names of clones left that nobody used.

        ``ready`` drops what was used and leaves the untouched clones, one at least, on the first slots; ``nothing``
        drops all. ``everything`` drops nothing: for a server that has ended or is about to.

        Raises:
            WaitTimedOut: A builder did not come back; its slot is left to the sweep.
            FreshpgError: A database could not be dropped.
        """
        end = Deadline(deadline, self.clock)
        with self._work:
            was, self._state = self._state, "stopped" if self._state != "forked" else "forked"
            self._wake_all()
        left: list[str] = []
        if was != "open":
            return left
        stuck = self._builders.join(end)
        try:
            if leave != "everything":
                left = self._tidy(leave, end)
        finally:
            self._builders.close()
        if stuck:
            raise WaitTimedOut(
                "the stock of clones was stopped",
                on=self.source.base,
                seen=f"a statement did not end within {deadline:g} s, nor when it was cancelled",
                todo=("look into the server's log", "the next run removes what is left"),
            )
        return left

    def disown(self) -> None:
        """In a forked child: there is no stock here; the parent's goes on."""
        self._share_a_lock()
        self._state = "forked"
        self._builders.disown()

    def _share_a_lock(self) -> None:
        # Builders wait for work, takers for a clone: woken by everything, all threads would fight for each step.
        lock = threading.RLock()
        self._work, self._filled = threading.Condition(lock), threading.Condition(lock)

    def _wake_all(self) -> None:
        self._work.notify_all()
        self._filled.notify_all()

    def _adopt(self, fresh: FreshClones) -> None:
        for name in sorted(fresh.names[self.source.base]):
            if name in self.slots:
                self._baselines[name] = fresh.baseline
                self._ledger.ready(name)

    def _look(self, databases: Databases | None) -> Cloner | None:
        """Enter what is on our slots; return the builder's connection if one was opened for it."""
        cloner = Cloner(databases or self._connect(), self.source)
        try:
            self._enter_remains(cloner.databases)
        except BaseException:
            if databases is None:
                cloner.admin.close()
            raise
        return cloner if databases is None else None

    def _enter_remains(self, databases: Databases) -> None:
        wanted = [name for slot in self.slots.values() for name in (slot.name, slot.used_name)]
        found = {facts.name: facts for facts in databases.find_all(wanted)}
        for facts in found.values():
            require_of_source(databases, self.source, facts)
            self._oids[facts.name] = facts.oid
        for name, slot in self.slots.items():
            remains = [old for old in (name, slot.used_name) if old in found]
            if remains:
                self._ledger.used(name, remains)

    def _take_when_ready(self, end: Deadline, holder: str) -> Taken:
        self._ledger.waiting += 1
        try:
            self._builders.add()
            self._work.notify_all()
            while True:
                name = self._ledger.take(holder)
                if name is not None:
                    return Taken(name, end.elapsed, self._baselines[name])
                self._raise_failure()
                self._require_open()
                if end.expired:
                    raise self._none_in_time(end)
                self._filled.wait(min(end.remaining, _IDLE))
        finally:
            self._ledger.waiting -= 1

    def _raise_failure(self) -> None:
        """Tell one taker what failed; the builders then try again for the next one."""
        failure, self._failure = self._failure, None
        if failure is not None:
            self._work.notify_all()
            raise failure

    def _require_open(self) -> None:
        if self._state == "open":
            return
        seen = {
            "new": "the stock was not started",
            "stopped": "the stock is stopped",
            "forked": "this process was forked from the one that owns the stock",
        }[self._state]
        raise UsageInvalid(
            "a fresh database was asked for",
            on=self.source.base,
            seen=seen,
            todo=("take the database in the process that started freshpg, and hand its URL on",),
        )

    def _none_in_time(self, end: Deadline) -> WaitTimedOut:
        lines = self._ledger.occupants()
        return WaitTimedOut(
            f"waited {end.seconds:g} s for a fresh clone",
            on=self.source.base,
            seen="\n".join(lines),
            todo=(
                "give databases back: a fixture of wide scope holds its database until the scope ends",
            ),
            holders=tuple(lines),
        )

    def revive(self) -> None:
        """Put a new builder in the place of each that died; again is fine."""
        with self._work:
            if self._state == "open":
                self._builders.revive()

    def _give_head_start(self) -> None:
        """Let the first taker of an adopted clone connect before us: two sessions that start at once are slower."""
        with self._work:
            self._work.wait_for(lambda: self._ledger.waiting or self._state != "open", _HEAD_START)

    def _next_job(self) -> Job | None:
        with self._work:
            while self._state == "open":
                job = None if self._failure else self._ledger.next_job()
                if job is not None:
                    return job
                self._work.wait(_IDLE)
            return None

    def _do(self, cloner: Cloner, job: Job) -> None:
        started = self.clock.monotonic()
        for old in job.drop:
            cloner.databases.drop(old, oid=self.oid_of(old))
            faultpoint("stock.dropped")
            self._oids.pop(old, None)
        if job.build:
            oid = self._oids[job.name] = cloner.make_anew(job.name)
            faultpoint("stock.made")
            self._baselines[job.name] = read_baseline(cloner.admin, oid)
            self._events.emit(CloneMade(job.name, self.clock.monotonic() - started, job.waited_for))
        with self._work:
            self._cuts = 0
            if job.build:
                self._ledger.ready(job.name)
                self._filled.notify()
            else:
                self._ledger.empty(job.name)

    def _failed(self, job: Job, error: Exception, cut_off: bool) -> None:
        with self._work:
            if isinstance(error, NotOurs):
                self._ledger.lose(job.name)
            else:
                # Whatever a half-done job left: drop() passes over what is not there.
                self._ledger.failed(job.name, dict.fromkeys((*job.drop, job.name)))
            # A test that is a superuser may end the sessions of all builders at once; more cuts in a row are a failure.
            self._cuts += cut_off
            if not cut_off or self._cuts > self._builders.most:
                self._failure = error
            self._wake_all()

    def _died(self, job: Job | None) -> None:
        with self._work:
            if job is not None:
                self._ledger.failed(job.name, dict.fromkeys((*job.drop, job.name)))
            self._wake_all()

    def _tidy(self, leave: Leave, end: Deadline) -> list[str]:
        with self._work:
            left = self._ledger.in_state("ready") if leave == "ready" else []
            doomed = self._ledger.databases_besides(left)
        first = self._first_slots(len(left))
        if not doomed and left == first and (left or leave == "nothing"):
            return left
        cloner = self._builders.spare_cloner()
        errors: list[FreshpgError] = []
        for name in doomed:
            try:
                limit = max(1.0, end.remaining)
                cloner.databases.drop(name, deadline=limit, oid=self.oid_of(name))
            except FreshpgError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        if leave == "ready" and not left:
            # The next run's first test would have to wait for one.
            left = first = self._first_slots(1)
            for name in left:
                cloner.make_anew(name)
        self._move(cloner, left, first)
        return first

    def _first_slots(self, count: int) -> list[str]:
        """Return the lowest slots, which a next run begins with."""
        usable = self._ledger.in_state("empty", "used", "taken", "ready")
        return sorted(usable, key=self.slots.__getitem__)[:count]

    def _move(self, cloner: Cloner, names: list[str], first: list[str]) -> None:
        """Rename clones onto other slots, whose databases are gone."""
        free = [name for name in first if name not in names]
        for name in names:
            if name not in first:
                cloner.databases.rename(name, free.pop(0))
                faultpoint("stock.moved")
