"""``DeepState``: everything a database is, as hashes by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from freshpg.isolation.audit.deep.difference import Difference, Entry, Key, compare
from freshpg.isolation.audit.deep.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.postgres.admin import Admin


@dataclass(frozen=True, slots=True)
class DeepState:
    """What one database held at one moment: a few hashes for every table, sequence, large object and catalog row.

    Objects count by name, so one that was dropped and made again just so is equal. Not in it, since it is no content:
    statistics, places and sizes on disk, dropped columns; and what is not the database's: rows of foreign tables, other
    databases' contents, sessions.

    Args:
        entries: Each thing by kind and name.
        unread: What this role could not read, so that equality says nothing about it.
    """

    entries: Mapping[Key, Entry] = field(repr=False)
    unread: tuple[str, ...] = ()

    @classmethod
    def read(cls, admin: Admin, *, shared: bool = True) -> Self:
        """Read the database that ``admin`` is connected to, in one snapshot; no transaction may be open.

        Takes a handful of round trips, and as long as reading every row does. A superuser reads everything; another
        role leaves out, and says so, tables it may not select from or sees through row security, other roles'
        large objects, passwords, options of foreign servers' users and ALTER SYSTEM.

        Args:
            admin: A connection inside the database.
            shared: Also roles, tablespaces, settings of the server and neighbour databases. Leave them out where
                others change them at the same time.

        Raises:
            FreshpgError: A statement failed: a lock that is held, a type whose output function fails.
        """
        reader = Reader(admin, shared=shared)
        entries = reader.read()
        return cls(entries, tuple(sorted(reader.unread)))

    def diff(self, after: DeepState) -> tuple[Difference, ...]:
        """Return what changed from this state to ``after``, by kind and name; empty when nothing did."""
        return compare(self.entries, after.entries)
