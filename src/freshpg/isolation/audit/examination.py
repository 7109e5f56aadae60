"""The second round trip: what the suspects came to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpg.core.errors import StatementFailed
from freshpg.isolation.audit import questions
from freshpg.isolation.audit.facts import DATABASE_ITSELF
from freshpg.isolation.audit.objects import changed_objects
from freshpg.isolation.residue import ObjectResidue, SequenceResidue, TableResidue

if TYPE_CHECKING:
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.facts import Facts
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine
    from freshpg.isolation.audit.suspects import Suspects
    from freshpg.isolation.residue import Residue


@dataclass(frozen=True, slots=True)
class Examination:
    """What was asked for and is not as in the template.

    Attributes:
        tables: Visible rows and news of each table that differs, by oid.
        sequences: Last value of each that moved, and whether it was given, by oid.
        catalogs: Names of those whose rows differ, shared ones too.
        itself: The database's owner, rights or settings differ.
        role_settings: The tests' role got settings of its own.
    """

    tables: dict[int, tuple[int, int]]
    sequences: dict[int, tuple[int, bool]]
    catalogs: frozenset[str]
    itself: bool
    role_settings: bool = False

    @property
    def structural(self) -> bool:
        """Whether more than rows and sequences differs."""
        return bool(self.catalogs) or self.itself or self.role_settings

    @property
    def only_files(self) -> bool:
        """Whether what differs may be no more than the files of some relations."""
        return self.catalogs == {"pg_class"} and not (self.itself or self.role_settings)

    def with_rows_of(self, other: Examination) -> Examination:
        """Return it with the rows and sequences of another one, and nothing structural."""
        return Examination(
            {**self.tables, **other.tables},
            {**self.sequences, **other.sequences},
            frozenset(),
            itself=False,
        )

    def table_residue(self, facts: Facts) -> tuple[TableResidue, ...]:
        """Return the rows by table."""
        found = []
        for oid, (rows, news) in self.tables.items():
            table = facts.tables[oid]
            missing = max(0, table.rows - (rows - news))
            changed = min(news, missing)
            found.append(TableResidue(table.name, news - changed, changed, missing - changed))
        return tuple(found)

    def sequence_residue(self, facts: Facts) -> tuple[SequenceResidue, ...]:
        """Return the sequences."""
        return tuple(
            SequenceResidue(
                facts.sequences[oid].name, facts.sequences[oid].given, last if called else None
            )
            for oid, (last, called) in self.sequences.items()
        )


NOTHING_FOUND = Examination({}, {}, frozenset(), itself=False)


def examine(inside: Inside, facts: Facts, suspects: Suspects, baseline: Baseline) -> Examination:
    """Ask about all suspects in one round trip; where a table of them is gone, about the catalogs alone.

    Raises:
        FreshpgError: A statement failed.
    """
    try:
        return _ask(inside, facts, suspects, baseline)
    except StatementFailed:
        structure = replace(suspects, tables=frozenset(), sequences=frozenset())
        found = _ask(inside, facts, structure, baseline)
        if not found.structural:
            raise
        return found


def _ask(inside: Inside, facts: Facts, suspects: Suspects, baseline: Baseline) -> Examination:
    tables = [facts.tables[oid] for oid in sorted(suspects.tables)]
    sequences = [facts.sequences[oid] for oid in sorted(suspects.sequences)]
    many = suspects.how == "asked"
    rows = (
        questions.rows_of_all(tables)
        if many
        else " UNION ALL ".join(map(questions.rows_of, tables))
    )
    asked = [
        _execution(inside, rows or questions.NO_ROWS, baseline),
        f"EXECUTE {inside.prepared(questions.state_of(sequences))}",
        _execution(
            inside, questions.rows_of_catalogs(suspects.catalogs | suspects.shared), baseline
        ),
        *(
            [DATABASE_ITSELF, _execution(inside, questions.ROLE_SETTINGS, baseline)]
            if suspects.itself
            else []
        ),
    ]
    row_answer, state_answer, catalog_answer, *rest = inside.run("; ".join(asked))
    counted = {
        int(oid or 0): (int(rows or 0), int(news or 0)) for oid, rows, news in row_answer.rows
    }
    states = {
        int(oid or 0): (int(last or 0), called == "t") for oid, last, called in state_answer.rows
    }
    wanted = {**facts.catalogs, **facts.shared}
    return Examination(
        {
            oid: found
            for oid, found in counted.items()
            if found[1] or found[0] != facts.tables[oid].rows
        },
        {
            oid: found
            for oid, found in states.items()
            if found != (facts.sequences[oid].last_value, facts.sequences[oid].is_called)
        },
        frozenset(
            str(name)
            for name, rows, news in catalog_answer.rows
            if int(news or 0) or int(rows or 0) != wanted[str(name)]
        ),
        itself=bool(rest) and rest[0].rows[0][0] != facts.itself,
        role_settings=bool(rest) and rest[1].rows[0][0] != "0",
    )


def describe(
    residue: Residue, found: Examination, inside: Inside, pristine: Pristine, baseline: Baseline
) -> Residue:
    """Return ``residue`` with what was found; changed objects are looked up by name."""
    facts = pristine.facts()
    objects: tuple[ObjectResidue, ...] = ()
    if found.catalogs:
        objects = changed_objects(inside, pristine, found.catalogs, baseline)
    if found.itself or found.role_settings:
        objects = (*objects, ObjectResidue("database", residue.database, "altered"))
    listed = residue.with_rows(found.table_residue(facts), found.sequence_residue(facts))
    return replace(listed, objects=(*residue.objects, *objects))


def _execution(inside: Inside, statement: str, baseline: Baseline) -> str:
    if "$1" not in statement:
        return f"EXECUTE {inside.prepared(statement)}"
    return f"EXECUTE {inside.prepared(statement, 'text')}('{baseline.xid_text}')"
