"""What may have changed since the last proof: exactly what WAL says was written, or everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.isolation.audit.facts import OF_DATABASES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.facts import Facts, Owner
    from freshpg.postgres.wal.touched import Touched


@dataclass(frozen=True, slots=True)
class Suspects:
    """Tables and sequences by oid, catalogs by name, and the database itself: its owner, rights, settings.

    ``how`` says what they were learnt from.
    """

    tables: frozenset[int]
    sequences: frozenset[int]
    catalogs: frozenset[str]
    shared: frozenset[str]
    itself: bool
    how: str

    def __bool__(self) -> bool:
        return bool(self.tables or self.sequences or self.catalogs or self.shared or self.itself)


NOTHING = Suspects(frozenset(), frozenset(), frozenset(), frozenset(), itself=False, how="pulse")


def never_logged(facts: Facts) -> Suspects:
    """Suspect what may change without a trace in WAL: some sequences."""
    sequences = frozenset(found.oid for found in facts.sequences.values() if found.hidden)
    return replace(NOTHING, sequences=sequences, how="asked") if sequences else NOTHING


def to_ask_first(suspects: Suspects, facts: Facts) -> Suspects:
    """Return those whose change is not simply undone: everything but rows and sequences that WAL names."""
    if suspects.how != "wal":
        return suspects
    hard = {oid for oid in suspects.tables if facts.tables[oid].hard}
    return replace(suspects, tables=frozenset(hard), sequences=frozenset())


def of_owners(owners: Collection[Owner]) -> Suspects:
    """Suspect tables and sequences."""
    tables = frozenset(owner.oid for owner in owners if owner.kind == "table")
    sequences = frozenset(owner.oid for owner in owners if owner.kind == "sequence")
    return replace(NOTHING, tables=tables, sequences=sequences, how="wal")


def everything(facts: Facts) -> Suspects:
    """Suspect whatever the template has."""
    return Suspects(
        frozenset(facts.tables),
        frozenset(facts.sequences),
        frozenset(facts.catalogs),
        frozenset(facts.shared),
        itself=True,
        how="asked",
    )


def from_touched(
    touched: Touched, facts: Facts, baseline: Baseline, rewritten: Mapping[int, Owner]
) -> Suspects:
    """Suspect what WAL names, and what it never names: unlogged tables and sequences.

    A file that the facts do not know belongs to a relation made since, or to one whose rows were written to a new
    file; both show in ``pg_class``. Of the latter, those that were accepted are in ``rewritten``. A transaction that was running at the last proof wrote before what was read now.
    """
    if touched.commits & baseline.running_xids:
        return everything(facts)
    tables = {table.oid for table in facts.tables.values() if table.unlogged}
    sequences = {found.oid for found in facts.sequences.values() if found.hidden}
    catalogs = set()
    for file in touched.relations | touched.sequences:
        owner = rewritten.get(file) or facts.owners.get(file)
        if owner is None or owner.kind == "other":
            catalogs.add("pg_class")
        elif owner.kind == "catalog":
            catalogs.add(owner.name)
        elif owner.kind == "table":
            tables.add(owner.oid)
        else:
            sequences.add(owner.oid)
    if touched.structural:
        catalogs.add("pg_class")
    shared = {facts.shared_owners[file] for file in touched.shared if file in facts.shared_owners}
    return Suspects(
        frozenset(tables),
        frozenset(sequences),
        frozenset(catalogs & facts.catalogs.keys()),
        frozenset(shared & facts.shared.keys()),
        itself=bool(shared & OF_DATABASES),
        how="wal",
    )
