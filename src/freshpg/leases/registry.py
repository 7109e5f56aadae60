"""What a server holds of ours, and who uses it, for ``freshpg status``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.leases import locks
from freshpg.leases.slots import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.leases.locks import Holder
    from freshpg.postgres.database_facts import DatabaseFacts
    from freshpg.postgres.databases import Databases
    from freshpg.postgres.mark import Mark

_USE = """
SELECT d.oid::bigint,
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) END,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)
  FROM pg_catalog.pg_database d WHERE d.oid = ANY(%s::oid[])
"""


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database of ours: ``size`` in bytes, ``None`` where our role may not know; ``slot`` for those of a slot."""

    name: str
    mark: Mark
    slot: int | None
    size: int | None
    connections: int
    holders: tuple[Holder, ...]


def base_of(mark: Mark) -> str:
    """Return the base name a database's slot belongs to; empty for kinds that have no slot."""
    return str(mark.facts.get("base", ""))


def holders(databases: Databases) -> list[Holder]:
    """Return who holds leases on this server, as far as databases of ours tell of bases to look for.

    ``databases`` must be connected to the coordination database: locks are counted there.
    """
    return locks.holders(databases.admin, _bases(mark for _, mark in _marked(databases)))


def overview(databases: Databases) -> list[DatabaseStatus]:
    """Return every database of ours on this server, by name."""
    marked = _marked(databases)
    oids = [facts.oid for facts, _ in marked]
    use = {
        oid: (size, connections) for oid, size, connections in databases.admin.rows(_USE, (oids,))
    }
    held: dict[tuple[str, int], list[Holder]] = {}
    for holder in locks.holders(databases.admin, _bases(mark for _, mark in marked)):
        held.setdefault((holder.base, holder.slot), []).append(holder)
    found = []
    for facts, mark in marked:
        base = base_of(mark)
        slot = number_of(facts.name, base) if base else None
        # Gone since it was listed: nothing is known of it.
        size, connections = use.get(facts.oid, (None, 0))
        who = tuple(held.get((base, slot), ())) if slot is not None else ()
        found.append(DatabaseStatus(facts.name, mark, slot, size, connections, who))
    return found


def _marked(databases: Databases) -> list[tuple[DatabaseFacts, Mark]]:
    return [(facts, facts.mark) for facts in databases.all_marked() if facts.mark]


def _bases(marks: Iterable[Mark]) -> list[str]:
    return sorted({base_of(mark) for mark in marks} - {""})
