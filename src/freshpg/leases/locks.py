"""The advisory locks behind leases, asked on any connection to the coordination database.

Session level: the server itself frees them when the holder's connection ends, whatever ended it.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import NoFreeSlot
from freshpg.leases.holder import HolderNote, from_query
from freshpg.leases.slots import Slot, lock_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from freshpg.postgres.admin import Admin

_HOLDERS = """
SELECT l.classid::bigint, l.objid::bigint, l.pid, coalesce(a.application_name, ''),
       coalesce(host(a.client_addr), ''), a.query
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
   AND l.classid::bigint = ANY(%s)
 ORDER BY l.classid::bigint, l.objid::bigint, l.pid
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """One session that holds the lock of one slot; ``note`` is ``None`` when the server does not show it to us."""

    base: str
    slot: int
    backend: int
    application: str
    address: str
    note: HolderNote | None

    def __str__(self) -> str:
        where = f" from {self.address}" if self.address else ""
        return (
            str(self.note) if self.note else f"backend {self.backend} {self.application!r}{where}"
        )


def holders(admin: Admin, bases: Iterable[str]) -> list[Holder]:
    """Return who holds slots of these bases, in the order of bases' keys and slots."""
    by_class = {_unsigned(lock_class(base)): base for base in bases}
    rows = admin.rows(_HOLDERS, (list(by_class),))
    return [
        Holder(by_class[key], number, pid, application, address, from_query(query))
        for key, number, pid, application, address, query in rows
    ]


def none_free(base: str, limit: int, waited: float, found: Iterable[Holder]) -> NoFreeSlot:
    """Return what to tell whoever waited ``waited`` seconds for one of ``limit`` slots; ``found`` hold them."""
    lines = [f"{Slot(base, held.slot).name}: {held}" for held in found if held.slot]
    return NoFreeSlot(
        f"waited {waited:g} s for one of {limit} slots",
        on=base,
        seen="\n".join(lines),
        todo=(
            "wait for the other runs to end, or end them",
            "freshpg status shows every holder",
        ),
        holders=tuple(lines),
    )


@contextmanager
def proven_free(admin: Admin, base: str, number: int) -> Iterator[bool]:
    """Hold a slot's lock for a while; yields ``False`` when somebody else has it.

    Whoever removes what a dead holder left does it inside, so that nobody leases the slot meanwhile.
    """
    keys = (lock_class(base), number)
    taken = bool(admin.value("SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", keys))
    try:
        yield taken
    finally:
        if taken and not admin.closed:
            admin.value("SELECT pg_catalog.pg_advisory_unlock(%s, %s)", keys)


def _unsigned(key: int) -> int:
    # pg_locks shows both keys as oids.
    return key & 0xFFFFFFFF
