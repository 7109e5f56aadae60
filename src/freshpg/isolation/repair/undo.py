"""Removing rows that the template does not have and putting sequences back: one exchange, proof included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.isolation.audit.baseline import Baseline, Snapshot
from freshpg.isolation.audit.questions import NEWS
from freshpg.isolation.residue import SequenceResidue, TableResidue
from freshpg.postgres.wal.position import parse_lsn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freshpg.isolation.audit.facts import SequenceFacts, TableFacts
    from freshpg.isolation.audit.inside import Answer, Inside


@dataclass(frozen=True, slots=True)
class Proof:
    """What there was after an undoing.

    Attributes:
        lsn: Where WAL stood once it was committed, before anything was counted.
        snapshot: Of a moment after that.
        rows: Visible rows of each table that has some in the template. One that has none has lost all it had; whether
            somebody filled it again meanwhile, the snapshot tells.
    """

    lsn: int
    snapshot: Snapshot
    rows: dict[int, int]

    @property
    def baseline(self) -> Baseline:
        """The baseline this makes, if it proves anything."""
        return Baseline.at(self.lsn, self.snapshot)

    def short_of(self, tables: Sequence[TableFacts]) -> list[TableFacts]:
        """Return the tables that miss rows of the template."""
        return [table for table in tables if self.rows.get(table.oid, 0) < table.rows]

    def holds_for(self, tables: Sequence[TableFacts]) -> bool:
        """Return whether each table has as many rows as in the template."""
        return all(self.rows.get(table.oid, 0) == table.rows for table in tables)


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undoing removed and put back.

    Attributes:
        removed: Rows by table.
        sequences: Those that stood elsewhere.
        xids: Transactions of ours that wrote.
        proof: What there was afterwards.
    """

    removed: dict[int, int]
    sequences: tuple[SequenceResidue, ...]
    xids: int
    proof: Proof

    def tables(self, tables: Sequence[TableFacts]) -> tuple[TableResidue, ...]:
        """Return what was wrong with each table. A row that is both gone and new may have been changed."""
        found = []
        for table in tables:
            new = self.removed[table.oid]
            missing = max(0, table.rows - self.proof.rows.get(table.oid, 0))
            changed = min(new, missing)
            if new or missing:
                found.append(TableResidue(table.name, new - changed, changed, missing - changed))
        return tuple(found)


def undo(
    inside: Inside,
    tables: Sequence[TableFacts],
    sequences: Sequence[SequenceFacts],
    baseline: Baseline,
) -> Undone:
    """Delete the news of tables and set sequences to the template's state, in one transaction; then count.

    A sequence is set even where it stands right: only then does WAL show its next value.

    Raises:
        FreshpgError: A statement failed or waited too long for a lock; the rows are as before.
    """
    deletions = _deletions(inside, tables, baseline)
    settings = [f"EXECUTE {inside.prepared(_setting(found))}" for found in sequences]
    answers = inside.run(
        "; ".join(["BEGIN", *deletions, *settings, "COMMIT", *_proof(inside, tables)])
    )
    _, *answers = answers
    removed = _removed(answers[: len(deletions)], tables, one=not inside.replays)
    del answers[: len(deletions)]
    moved = _moved(answers[: len(settings)], sequences)
    del answers[: len(settings)]
    _, *proof = answers
    # A transaction has a number from its first row deleted or logged sequence set.
    wrote = any(removed.values()) or any(not found.unlogged for found in sequences)
    return Undone(removed, moved, int(wrote), _read_proof(proof, tables))


def prove(inside: Inside, tables: Sequence[TableFacts]) -> Proof:
    """Count again."""
    return _read_proof(inside.run("; ".join(_proof(inside, tables))), tables)


def _deletions(inside: Inside, tables: Sequence[TableFacts], baseline: Baseline) -> list[str]:
    if inside.replays:
        return [_execution(inside, _deletion(table), baseline, table) for table in tables]
    if not tables:
        return []
    # Foreign keys are checked when the statement has ended: in one statement neither order nor cycles matter.
    # https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
    parts = ", ".join(
        f"d{table.oid} AS ({_deletion(table)} RETURNING 1)" for table in tables
    ).replace("$1", f"'{baseline.xid_text}'")
    counts = ", ".join(f"(SELECT count(*) FROM d{table.oid})" for table in tables)
    return [f"WITH {parts} SELECT {counts}"]


def _deletion(table: TableFacts) -> str:
    return f"DELETE FROM ONLY {table.sql}" + (f" WHERE {NEWS}" if table.rows else "")


def _execution(inside: Inside, statement: str, baseline: Baseline, table: TableFacts) -> str:
    if table.rows:
        return f"EXECUTE {inside.prepared(statement, 'text')}('{baseline.xid_text}')"
    return f"EXECUTE {inside.prepared(statement)}"


def _setting(found: SequenceFacts) -> str:
    called = "true" if found.is_called else "false"
    return (
        f"SELECT last_value, is_called, pg_catalog.setval({found.oid}::pg_catalog.regclass,"
        f" {found.last_value}, {called}) FROM {found.sql}"
    )


def _proof(inside: Inside, tables: Sequence[TableFacts]) -> list[str]:
    # The position first: whatever is written after it moves it, and shows at the next look.
    return [
        f"EXECUTE {inside.prepared(question)}"
        for question in (
            "SELECT pg_catalog.pg_current_wal_insert_lsn()",
            "SELECT pg_catalog.pg_current_snapshot()",
            *(f"SELECT count(*) FROM ONLY {table.sql}" for table in tables if table.rows),
        )
    ]


def _read_proof(answers: list[Answer], tables: Sequence[TableFacts]) -> Proof:
    lsn, snapshot, *counts = answers
    counted = [table for table in tables if table.rows]
    rows = {
        table.oid: int(count.rows[0][0] or 0) for table, count in zip(counted, counts, strict=True)
    }
    return Proof(parse_lsn(str(lsn.rows[0][0])), Snapshot.parse(str(snapshot.rows[0][0])), rows)


def _removed(answers: list[Answer], tables: Sequence[TableFacts], *, one: bool) -> dict[int, int]:
    if one and answers:
        counts = [int(count or 0) for count in answers[0].rows[0]]
    else:
        counts = [answer.affected for answer in answers]
    return {table.oid: count for table, count in zip(tables, counts, strict=True)}


def _moved(
    answers: list[Answer], sequences: Sequence[SequenceFacts]
) -> tuple[SequenceResidue, ...]:
    moved = []
    for found, answer in zip(sequences, answers, strict=True):
        last, called, _ = answer.rows[0]
        now = int(last or 0)
        if (now, called == "t") != (found.last_value, found.is_called):
            moved.append(SequenceResidue(found.name, found.given, now if called == "t" else None))
    return tuple(moved)
