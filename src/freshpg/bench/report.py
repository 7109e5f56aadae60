"""All of it within a time: levels, clones, proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.bench.proof import prove_all
from freshpg.bench.timing import TEST, clones_a_second, measure_level, measure_plain
from freshpg.bench.work import find_work
from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.isolation.levels import LEVELS
from freshpg.postgres.admin import Admin
from freshpg.postgres.schema.reader import read_schema

if TYPE_CHECKING:
    from freshpg.bench.proof import Proof
    from freshpg.bench.timing import Figures
    from freshpg.bench.work import Work
    from freshpg.core.clock import Clock
    from freshpg.manager import DatabaseManager

FOR_LEVELS = 0.5
FOR_CLONES = 0.1
"""Parts of the time; what is left is for the proof."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured and proven on one blueprint.

    Attributes:
        blueprint: Its name.
        tables: How many the schema has.
        work: What a measured test did.
        plain: BEGIN and ROLLBACK on one connection, to compare with.
        levels: In the order of what a test may do.
        clones: Handed out and taken back in a second.
        proofs: By kind of change.
    """

    blueprint: str
    tables: int
    work: Work
    plain: Figures
    levels: tuple[Figures, ...]
    clones: float
    proofs: tuple[Proof, ...]

    @property
    def tried(self) -> int:
        """Kinds of change that could be tried."""
        return sum(proof.undone is not None for proof in self.proofs)

    @property
    def undone(self) -> int:
        """Kinds of change that were undone, proven by the deep comparison."""
        return sum(proof.undone is True for proof in self.proofs)

    @property
    def holds(self) -> bool:
        """Whether isolation was proven: something was tried, and all of it undone."""
        return 0 < self.tried == self.undone

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; seconds."""
        return {
            "blueprint": self.blueprint,
            "tables": self.tables,
            "statement": self.work.statement,
            "plain": self.plain.to_json(),
            "levels": [figures.to_json() for figures in self.levels],
            "clones_a_second": self.clones,
            "proofs": [proof.to_json() for proof in self.proofs],
            "tried": self.tried,
            "undone": self.undone,
            "holds": self.holds,
        }


def measure(
    manager: DatabaseManager, blueprint: str, *, seconds: float, clock: Clock = SYSTEM_CLOCK
) -> Report:
    """Measure every level, then prove that what tests change is undone; in about ``seconds`` once the server is up.

    What is begun is finished, so a schema whose comparison takes long takes longer. Nothing stays of it.

    Raises:
        FreshpgError: No database was to be had, or it could not be compared.
    """
    manager.start()
    with manager.lease(blueprint, isolation="clone", test=TEST) as database:
        with Admin.connect(database.conninfo, application_name=TEST) as admin:
            schema = read_schema(admin)
        work = find_work(database, schema)
    share = seconds * FOR_LEVELS / (len(LEVELS) + 1)
    plain = measure_plain(manager, blueprint, work, Deadline(share, clock), clock)
    levels = tuple(
        measure_level(manager, blueprint, level, work, deadline=Deadline(share, clock), clock=clock)
        for level in LEVELS
    )
    clones = clones_a_second(manager, blueprint, Deadline(seconds * FOR_CLONES, clock), clock)
    deadline = Deadline(seconds * (1 - FOR_LEVELS - FOR_CLONES), clock)
    with manager.lease(blueprint, isolation="reset", test=TEST) as database:
        proofs = tuple(prove_all(database, schema, work, deadline, clock))
    return Report(blueprint, len(schema.tables), work, plain, levels, clones, proofs)
