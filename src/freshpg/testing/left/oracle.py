"""``leftovers()``: looks before and after, and tells what is new."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from freshpg.core.clock import SYSTEM_CLOCK, Clock, Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import FreshpgError, LeftBehind
from freshpg.servers import runas, storage
from freshpg.testing.left import catalogs, memory, places, processes
from freshpg.testing.left.things import KINDS, Kind, Leftover, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from freshpg.handle import Database

PATIENCE = 2.0
BETWEEN_LOOKS = 0.02
SHOWN = 12


class Leftovers:
    """A look before, and any number after; a context manager that raises when something is left at its end.

    Attributes:
        before: What was there at the start.
        found: What was left at the end of the ``with`` block.
    """

    def __init__(
        self,
        *servers: Database | Conninfo | str,
        project: Path | None = None,
        kinds: Collection[Kind] = KINDS,
        patience: float = PATIENCE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._addresses = tuple(_address(one) for one in servers)
        self._project = project
        self._kinds = frozenset(kinds)
        self._patience = patience
        self._clock = clock
        self.found: tuple[Leftover, ...] = ()
        self.before = self.look()

    def look(self) -> Snapshot:
        """Return what is there now.

        Raises:
            FreshpgError: A server does not answer.
        """
        return Snapshot.of(one for one in self._all() if one.kind in self._kinds)

    def since(self, before: Snapshot | None = None) -> tuple[Leftover, ...]:
        """Return what came since the start, or since ``before``, and is still there when ``patience`` ends."""
        limit = Deadline(self._patience, self._clock)
        while True:
            found = self.look().since(before or self.before)
            if not found or limit.expired:
                return found
            self._clock.sleep(BETWEEN_LOOKS)

    def _all(self) -> Iterator[Leftover]:
        roots = storage.runtime_roots()
        yield from processes.processes(roots) if self._kinds & {"process", "zombie"} else ()
        yield from memory.descriptors() if "descriptor" in self._kinds else ()
        users = server_users()
        yield from memory.system_v_segments(users)
        yield from memory.shared_memory_files(users)
        yield from places.runtime(roots)
        yield from places.cache(storage.cache_candidates())
        if self._project is not None:
            yield from places.state(self._project / ".freshpg")
        for address in self._addresses:
            yield from catalogs.on_server(address)

    def __enter__(self) -> Self:
        self.before = self.look()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.found = self.since()
        if self.found and kind is None:
            raise left_behind(self.found)


def leftovers(
    *servers: Database | Conninfo | str,
    project: Path | None = None,
    kinds: Collection[Kind] = KINDS,
    patience: float = PATIENCE,
) -> Leftovers:
    """Return a look at what is there now, to be compared with later ones; as a context manager it raises at its end.

    Processes, sockets, files, shared memory and descriptors are always looked at; databases, roles, replication slots,
    prepared transactions, connections and ``base/`` directories on the ``servers`` given. What others do is not named:
    on a server of freshpg everything counts, on any other what carries its mark or name.

    Args:
        servers: A :class:`freshpg.Database`, its ``conninfo``, or a URL; with a superuser's address more can be seen.
        project: Directory of a project, for its ``.freshpg``.
        kinds: What to look for.
        patience: Seconds that things may take to go by themselves.

    Raises:
        LeftBehind: At the end of the block, something was left; ``things`` has it.
        FreshpgError: A server does not answer.
    """
    return Leftovers(*servers, project=project, kinds=kinds, patience=patience)


def left_behind(found: tuple[Leftover, ...]) -> LeftBehind:
    """Return the error for what was found."""
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return LeftBehind(
        f"{len(found)} things were left" if len(found) > 1 else "a thing was left",
        seen="\n".join([*map(str, found[:SHOWN]), *more]),
        todo=(
            "close, end or remove them where they are made, also when that fails halfway",
            "freshpg clean removes what is provably freshpg's own and nobody's any more",
        ),
        things=[one.to_json() for one in found],
    )


def server_users() -> set[int]:
    """Return us, and the user that runs servers when we are root."""
    users = {os.geteuid()}
    with suppress(FreshpgError):
        users.add(runas.choose().uid)
    return users


def _address(server: Database | Conninfo | str) -> Conninfo:
    if isinstance(server, str):
        return Conninfo.parse(server)
    return server if isinstance(server, Conninfo) else server.conninfo
