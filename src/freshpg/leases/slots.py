"""Which names belong to a slot, and which advisory lock says whether it is held. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from freshpg.core import names

READONLY = 0
"""Number of the slot of the shared database of level ``readonly``; its users hold the lock together."""

_ENDING = re.compile(r"_(used_)?([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One fixed name of a blueprint's database, counted from one."""

    base: str
    number: int

    @property
    def name(self) -> str:
        """Name of the database a test uses."""
        return names.slot_name(self.base, self.number)

    @property
    def used_name(self) -> str:
        """Name under which a replaced database of this slot waits to be dropped."""
        return names.used_name(self.base, self.number)


def lock_class(base: str) -> int:
    """Return the first key of the advisory locks of all slots of ``base``; the second is the slot's number.

    Two bases that share a key only keep each other from numbers, never let two holders have one slot.
    """
    digest = hashlib.sha256(f"freshpg:{base}".encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)


def number_of(name: str, base: str) -> int | None:
    """Return the number of the slot a database belongs to; ``None`` when its name is not of ``base``'s slots."""
    if name == base:
        return 1
    if name == names.readonly_name(base):
        return READONLY
    found = _ENDING.fullmatch(name.removeprefix(base)) if name.startswith(base) else None
    if not found or (found[2] == "1" and not found[1]):
        return None
    return int(found[2])
