"""How the work for one rollback test ended, and what the test must be told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from freshpg.core.errors import ConstraintBroken, OuterTransactionEnded
from freshpg.isolation.rollback.results import rows_of

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who was connected to the database: sessions there are, and sessions there ever were."""

    now: int
    ever: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How the session's work for one test ended.

    Attributes:
        doubt: Why more than the rollback may be left; empty when that is proven not to be.
        moved: Sequences that were put back, by name.
        problem: What the test must be told.
    """

    doubt: str = ""
    moved: tuple[str, ...] = ()
    problem: ConstraintBroken | OuterTransactionEnded | None = None


def neighbours_in(result: PGresult) -> Neighbours:
    """Return what a look at the database found."""
    ((now, ever, _),) = rows_of(result)
    return Neighbours(int(now), int(ever))


def lost(name: str) -> OuterTransactionEnded:
    """Return what to tell a test that ended the outer transaction of database ``name``."""
    return OuterTransactionEnded(
        "a rollback test was to be undone",
        on=name,
        seen="its outer transaction was ended while it ran; what was written since may be committed",
        todo=(
            "commit through the connection (conn.commit(), COMMIT by execute), not through its pgconn",
            "use isolation 'reset' for this test: it may commit for real",
        ),
    )


def broken(name: str, result: PGresult) -> ConstraintBroken:
    """Return what to tell a test that broke a deferred constraint in database ``name``."""
    error = psycopg.errors.error_from_result(result, encoding="utf-8")
    facts = error.diag
    return ConstraintBroken(
        "deferred constraints were checked when a test ended",
        on=f"constraint {facts.constraint_name} of {facts.schema_name}.{facts.table_name} in {name}"
        if facts.constraint_name
        else name,
        seen="\n".join(filter(None, [facts.message_primary, facts.message_detail])),
        todo=(
            "correct the rows that the test or the code under test wrote: a real commit would have failed",
        ),
        constraint=facts.constraint_name or "",
        table=facts.table_name or "",
        sqlstate=error.sqlstate or "",
    )
