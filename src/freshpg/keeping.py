"""Keeping the database of a failed test: a name on the project's list, then a rename when it is given back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.core.events import Bus, DatabaseKept
from freshpg.kept import KeptDatabase, KeptList
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases

if TYPE_CHECKING:
    from freshpg.core.clock import Clock
    from freshpg.handle import Database
    from freshpg.isolation.base import Isolation
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
        self, database: Database, running: RunningServer, *, base: str, user: str, why: str
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
            test=database.test,
            why=why,
            made=self._clock.time(),
        )
        kept, oldest = self._list.reserve(base, entry)
        if oldest is not None:
            _drop_elsewhere(oldest, running)
        return kept

    def carry_out(self, database: Database, level: Isolation, kept: KeptDatabase) -> None:
        """Take a database back under the name it was reserved; whatever comes in between, the name is free again."""
        try:
            level.keep(database.name, kept.name, test=database.test, why=kept.why)
        except BaseException:
            self._list.forget(kept.name)
            raise
        self._events.emit(DatabaseKept(kept.name, kept.why))


def _drop_elsewhere(kept: KeptDatabase, running: RunningServer) -> None:
    """Drop the kept database that gave up its place; it may be on a server that is gone."""
    here = running.coordination
    if (kept.host, kept.port) == (here.host, here.port):
        # Keeping the new one under the same name drops it.
        return
    address = here.with_(host=kept.host, port=kept.port)
    with suppress(FreshpgError), Admin.connect(address) as admin:
        Databases(admin).drop(kept.name)
