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
    found = _interrupted_drops(databases, dry_run=dry_run)
    seen = {swept.name for swept in found}
    for facts in databases.all_marked():
        if facts.mark and facts.mark.kind in kinds and facts.name not in seen:
            found += _unleased(databases, facts, dry_run=dry_run)
    intents = databases.intents
    if isinstance(intents, TableIntents):
        for name, oid in intents.with_oids().items():
            found += _dead_intent(databases, intents, name, oid, dry_run=dry_run)
    return found


def _interrupted_drops(databases: Databases, *, dry_run: bool) -> list[Swept]:
    why = "its removal was interrupted; only removing it again is possible"
    return [
        _drop(databases, facts.name, why, dry_run=dry_run)
        for facts in databases.all_marked()
        if facts.connection_limit == INVALID or facts.name == doomed_name(facts.oid)
    ]


def _unleased(databases: Databases, facts: DatabaseFacts, *, dry_run: bool) -> list[Swept]:
    base = base_of(facts.mark) if facts.mark else ""
    number = number_of(facts.name, base) if base else None
    if number is None:
        # A name that belongs to no slot: no lock speaks for it, so nothing is proven.
        return []
    with proven_free(databases.admin, base, number) as free:
        now = databases.find(facts.name) if free else None
        if now is None or now.mark is None or now.oid != facts.oid:
            return []
        return [
            _drop(databases, facts.name, f"nobody holds slot {number} of {base}", dry_run=dry_run)
        ]


def _dead_intent(
    databases: Databases, intents: TableIntents, name: str, oid: int | None, *, dry_run: bool
) -> list[Swept]:
    admin = databases.admin
    key = admin.value("SELECT pg_catalog.hashtext(%s)", (name,))
    if not admin.value("SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", (INTENT_CLASS, key)):
        return []
    try:
        facts = databases.find(name)
        if oid is None or intents.with_oids().get(name) != oid:
            # Struck out meanwhile; or without an oid: a template builder's, who alone knows what its name proves. Where
            # there is no such database any more, it announces nothing.
            if oid is None and facts is None and not dry_run:
                admin.execute(
                    "DELETE FROM freshpg.intents WHERE name = %s AND oid IS NULL", (name,)
                )
            return []
        found = facts is not None and facts.mark is None and facts.oid == oid
        why = (
            "its maker was killed before it could mark it; the announced oid proves it was freshpg"
        )
        swept = Swept(name, why, done=False)
        if not dry_run:
            try:
                swept = replace(swept, done=intents.reclaim(name))
            except FreshpgError as error:
                return [replace(swept, error=str(error))]
            admin.execute("DELETE FROM freshpg.intents WHERE name = %s", (name,))
        return [swept] if found else []
    finally:
        if not admin.closed:
            admin.value("SELECT pg_catalog.pg_advisory_unlock(%s, %s)", (INTENT_CLASS, key))


def _drop(databases: Databases, name: str, why: str, *, dry_run: bool) -> Swept:
    swept = Swept(name, why, done=False)
    if dry_run:
        return swept
    try:
        databases.drop(name)
    except FreshpgError as error:
        return replace(swept, error=str(error))
    faultpoint("sweep.dropped")
    return replace(swept, done=True)
