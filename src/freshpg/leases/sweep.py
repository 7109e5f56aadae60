"""Remove the databases that the provably dead left on a server.

Proof is a lock: whoever uses a slot holds the slot's, whoever makes a database holds the intent's, and the server frees
both only when the session is gone. The sweep holds the lock itself while it removes. It never touches templates,
databases kept for inspection, or anything without our mark.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.core.faults import faultpoint
from freshpg.core.names import doomed_name
from freshpg.leases.coordination import INTENT_CLASS, TableIntents
from freshpg.leases.locks import proven_free
from freshpg.leases.registry import base_of
from freshpg.leases.slots import number_of
from freshpg.postgres.databases import INVALID

if TYPE_CHECKING:
    from collections.abc import Collection

    from freshpg.postgres.database_facts import DatabaseFacts
    from freshpg.postgres.databases import Databases
    from freshpg.postgres.mark import Kind

SWEPT_KINDS: frozenset[Kind] = frozenset({"slot", "ready", "scratch"})

_INTERRUPTED = "its removal was interrupted; only removing it again is possible"
_UNMARKED = "its maker was killed before it could mark it; the announced oid proves it was freshpg"


@dataclass(frozen=True, slots=True)
class Swept:
    """One database that was removed, or would be; ``error`` says why it could not."""

    name: str
    why: str
    done: bool
    error: str = ""


def sweep_databases(
    databases: Databases,
    *,
    kinds: Collection[Kind] = SWEPT_KINDS,
    dry_run: bool = False,
) -> list[Swept]:
    """Remove what nobody alive can be using, and return it; with ``dry_run`` only return it.

    ``databases`` must be connected to the coordination database. Lease your own slots first: what they hold is then
    left alone. A database that cannot be removed is reported and does not stop the sweep.
    """
    found = []
    for facts in databases.all_marked():
        mark = facts.mark
        if facts.connection_limit == INVALID or facts.name == doomed_name(facts.oid):
            found.append(_drop(databases, facts, _INTERRUPTED, dry_run=dry_run))
        elif mark and mark.kind in kinds:
            found += _unleased(databases, facts, base_of(mark), dry_run=dry_run)
    intents = databases.intents
    if isinstance(intents, TableIntents):
        for name in intents.pending():
            found += _dead_intent(databases, intents, name, dry_run=dry_run)
    return found


def _unleased(
    databases: Databases, facts: DatabaseFacts, base: str, *, dry_run: bool
) -> list[Swept]:
    number = number_of(facts.name, base) if base else None
    if number is None:
        # A name that belongs to no slot: no lock speaks for it, so nothing is proven.
        return []
    with proven_free(databases.admin, base, number) as free:
        # Whoever changed it since it was listed is alive, or was until now.
        if not free or databases.find(facts.name) != facts:
            return []
        return [_drop(databases, facts, f"nobody holds slot {number} of {base}", dry_run=dry_run)]


def _dead_intent(
    databases: Databases, intents: TableIntents, name: str, *, dry_run: bool
) -> list[Swept]:
    admin = databases.admin
    keys = (INTENT_CLASS, admin.value("SELECT pg_catalog.hashtext(%s)", (name,)))
    if not admin.value("SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", keys):
        return []
    try:
        if intents.with_oids().get(name) is not None:
            return _reclaimed(intents, name, dry_run=dry_run)
        # Struck out meanwhile; or without an oid: a template builder's, who alone knows what its name proves. Where
        # there is no such database any more, it announces nothing.
        if not dry_run and databases.find(name) is None:
            intents.strike_out(name)
        return []
    finally:
        if not admin.closed:
            admin.value("SELECT pg_catalog.pg_advisory_unlock(%s, %s)", keys)


def _reclaimed(intents: TableIntents, name: str, *, dry_run: bool) -> list[Swept]:
    swept = Swept(name, _UNMARKED, done=False)
    if dry_run:
        return [swept] if intents.unmarked(name) else []
    try:
        done = intents.reclaim(name)
    except FreshpgError as error:
        return [replace(swept, error=str(error))]
    intents.strike_out(name)
    return [replace(swept, done=True)] if done else []


def _drop(databases: Databases, facts: DatabaseFacts, why: str, *, dry_run: bool) -> Swept:
    swept = Swept(facts.name, why, done=False)
    if dry_run:
        return swept
    try:
        databases.drop(facts.name, oid=facts.oid)
    except FreshpgError as error:
        return replace(swept, error=str(error))
    faultpoint("sweep.dropped")
    return replace(swept, done=True)
