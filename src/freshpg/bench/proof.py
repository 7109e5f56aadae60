"""Whether isolation holds here: change something, reset, and compare every row and every definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.bench.changes import NAME, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.bench.changes import Change
    from freshpg.bench.work import Work
    from freshpg.core.clock import Clock, Deadline
    from freshpg.handle import Database
    from freshpg.postgres.schema.model import Schema


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one kind of change.

    Attributes:
        kind: In words.
        statement: What was done; empty where nothing could be.
        undone: The deep comparison saw the change, and after the reset none; None where it could not be tried.
        how: ``in place`` or ``replaced by a clone``.
        seconds: The reset took.
        remark: Why it was not tried, or what was left.
    """

    kind: str
    statement: str = ""
    undone: bool | None = None
    how: str = ""
    seconds: float = 0.0
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": self.kind,
            "statement": self.statement,
            "undone": self.undone,
            "how": self.how,
            "seconds": self.seconds,
            "remark": self.remark,
        }


def prove_all(
    database: Database, schema: Schema, work: Work, deadline: Deadline, clock: Clock
) -> Iterator[Proof]:
    """Try every kind of change in a leased database, until the deadline; it is reset afterwards.

    Raises:
        FreshpgError: The database could not be compared or reset.
    """
    with database.connect(autocommit=True, application_name=NAME) as connection:
        possible = changes(connection, schema, work, database.name)
    for change in possible:
        if change.why_not:
            yield Proof(change.kind, remark=change.why_not)
        elif deadline.expired:
            yield Proof(change.kind, remark="no time was left; give more with --seconds")
        else:
            yield _prove(database, change, clock)


def _prove(database: Database, change: Change, clock: Clock) -> Proof:
    statement, refused = _carry_out(database, change)
    if not statement:
        return Proof(change.kind, remark=refused)
    # Without this a comparison that sees nothing would look like a reset that leaves nothing.
    seen = database.prove()
    began = clock.monotonic()
    residue = database.reset()
    seconds = clock.monotonic() - began
    if not seen:
        return Proof(change.kind, statement, remark="it changed nothing that is compared")
    left = database.prove()
    return Proof(
        change.kind,
        statement,
        undone=not left,
        how="replaced by a clone" if residue.replaced else "in place",
        seconds=seconds,
        remark=str(left) if left else "",
    )


def _carry_out(database: Database, change: Change) -> tuple[str, str]:
    """Return the first statement that the database took, or why it took none."""
    refused = ""
    with database.connect(autocommit=True, application_name=NAME) as connection:
        for statement in change.statements:
            try:
                done = connection.execute(statement.encode())
            except psycopg.Error as error:
                refused = str(error).splitlines()[0] if str(error) else type(error).__name__
                continue
            if done.rowcount != 0:
                return statement, ""
            refused = "no row was there to be changed"
    return "", refused
