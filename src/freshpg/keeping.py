"""Keeping the databases of a failed test: names on the project's list, then a rename when they are given back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.core.events import Bus, DatabaseKept
from freshpg.kept import KeptDatabase, KeptList
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.clock import Clock
    from freshpg.holding import Holding
    from freshpg.provision.running import RunningServer


class Keeping:
    """Reserves names on a project's list, and carries out what was reserved."""

    def __init__(self, kept: KeptList, events: Bus, clock: Clock) -> None:
        self._list = kept
        self._events = events
        self._clock = clock

    def sweep(self) -> None:
        """Remove what a killed process left half written; where that is refused, a start goes on without it."""
        with suppress(FreshpgError, OSError):
            self._list.sweep()

    def reserve(
        self, running: RunningServer, *, base: str, user: str, test: str, why: str
    ) -> KeptDatabase:
        """Enter a database that is out under its future name; the oldest one gives up its place on a full list."""
        # Not the tests' address, which may be loopback and then takes a password.
        address = running.coordination
        entry = KeptDatabase(
            name="",
            server=running.id,
            host=address.host,
            port=address.port,
            user=user,
            test=test,
            why=why,
            made=self._clock.time(),
        )
        kept, oldest = self._list.reserve(base, entry)
        if oldest is not None:
            _drop_elsewhere(oldest, running)
        return kept

    @property
    def most(self) -> int:
        """Databases of one base name that are kept at a time."""
        return self._list.limit

    def carry_out(self, kept: KeptDatabase, act: Callable[[], object]) -> None:
        """Let ``act`` give a database the name that was reserved for it; whatever comes in between, it is free again."""
        try:
            act()
        except BaseException:
            self._list.forget(kept.name)
            raise
        self._events.emit(DatabaseKept(kept.name, kept.why))


class Shelf:
    """Where databases of one server are kept that nobody leased one by one, such as those of a test's tenants."""

    def __init__(self, keeping: Keeping, holding: Holding) -> None:
        self.most = keeping.most
        self._keeping = keeping
        self._holding = holding

    def reserve(self, *, base: str, user: str, test: str, why: str) -> KeptDatabase:
        """Enter a database under its future name; the oldest of that base gives up its place on a full list."""
        return self._keeping.reserve(
            self._holding.running, base=base, user=user, test=test, why=why
        )

    def put(self, kept: KeptDatabase, act: Callable[[], object]) -> None:
        """Let ``act`` give a database its reserved name; its server stays up for it."""
        self._keeping.carry_out(kept, act)
        self._holding.has_kept = True


def _drop_elsewhere(kept: KeptDatabase, running: RunningServer) -> None:
    """Drop the kept database that gave up its place; it may be on a server that is gone."""
    here = running.coordination
    if (kept.host, kept.port) == (here.host, here.port):
        # Keeping the new one under the same name drops it.
        return
    address = here.with_(host=kept.host, port=kept.port)
    with suppress(FreshpgError), Admin.connect(address) as admin:
        Databases(admin).drop(kept.name)
