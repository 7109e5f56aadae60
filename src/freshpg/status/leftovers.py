"""``freshpg doctor --leftovers``: what is there of freshpg's and belongs to nobody who lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK, Clock, Deadline
from freshpg.status.grounds import PREFIX, is_in_use
from freshpg.status.keepers import running_keepers
from freshpg.status.remains import clean
from freshpg.testing.left.catalogs import on_server
from freshpg.testing.left.oracle import BETWEEN_LOOKS, PATIENCE, Leftovers
from freshpg.testing.left.things import KINDS, Leftover, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.core.settings import Settings

ON_THIS_MACHINE = frozenset(KINDS) - {"descriptor"}
ON_A_SERVER = frozenset({"replication slot", "prepared transaction", "base directory"})
"""Told by themselves; databases by the proof that their holder is gone, as ``freshpg clean`` has it."""


@dataclass(frozen=True, slots=True)
class _Accounted:
    """What living keepers answer for."""

    pids: frozenset[str]
    places: tuple[str, ...]
    roots: frozenset[str]

    @classmethod
    def by(cls, statuses: Iterable[dict[str, Any]]) -> _Accounted:
        pids, places, roots = set(), set(), set()
        for status in statuses:
            roots |= set(status["roots"])
            pids |= {status["pid"], *(client["pid"] for client in status["clients"])}
            places |= {path for client in status["clients"] for path in client["claims"]}
            for server in status["servers"]:
                pids.add(server["pid"])
                places |= {server["dir"], *server["paths"]}
        return cls(frozenset(map(str, pids)), tuple(places), frozenset(roots))

    def has(self, thing: Leftover) -> bool:
        """Whether somebody who lives answers for a thing."""
        if thing.kind in {"process", "zombie"}:
            return thing.name.split()[0] in self.pids or any(
                f"{place}/" in f"{thing.detail}/" for place in self.places
            )
        path = Path(thing.name)
        if path.name.startswith(PREFIX) and is_in_use(path):
            return True
        of_keeper = path.name.startswith("keeper.") or "claims" in {path.name, path.parent.name}
        return (of_keeper and any(path.is_relative_to(root) for root in self.roots)) or any(
            path.is_relative_to(place) for place in self.places
        )


def left_now(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> tuple[Leftover, ...]:
    """Return what is left, once nothing goes by itself any more; nothing is changed.

    Raises:
        FreshpgError: The server that the settings name does not answer.
    """
    limit = Deadline(PATIENCE, clock)
    while True:
        found = look_now(settings)
        if not found or limit.expired:
            return found
        clock.sleep(BETWEEN_LOOKS)


def look_now(settings: Settings) -> tuple[Leftover, ...]:
    """Return what is left at this moment, of which some may be on its way out."""
    things = [*Leftovers(kinds=ON_THIS_MACHINE, patience=0).before, *_on_given_server(settings)]
    with running_keepers() as keepers:
        accounted = _Accounted.by(keeper.status() for keeper in keepers)
    left = Snapshot.of(thing for thing in things if not accounted.has(thing))
    return left.since(Snapshot.of(()))


def _on_given_server(settings: Settings) -> Iterator[Leftover]:
    """Yield those on somebody else's server; on servers of ours everything ends with the server."""
    if settings.conninfo is None:
        return
    yield from (one for one in on_server(settings.conninfo) if one.kind in ON_A_SERVER)
    for remain in clean(settings, every_image=False, do_it=False):
        if remain.kind == "database":
            yield Leftover("database", remain.name, remain.why)
