"""Reading where sequences stand, and putting them somewhere else: one round trip each, however many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.schema.unions import union_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.postgres.admin import Admin
    from freshpg.postgres.schema.model import Schema, Sequence

_SET = """
SELECT pg_catalog.setval(wanted.oid::pg_catalog.regclass, wanted.value, wanted.called)
  FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.oid[]), pg_catalog.unnest(%s::pg_catalog.int8[]),
                  pg_catalog.unnest(%s::pg_catalog.bool[])) AS wanted(oid, value, called)
"""


@dataclass(frozen=True, slots=True)
class State:
    """Where a sequence stands: ``nextval`` gives ``last_value`` itself while it is not called, then the one after."""

    last_value: int
    is_called: bool


def read_states(admin: Admin, sequences: Iterable[Sequence]) -> dict[int, State]:
    """Return the state of every sequence that the role may read, by oid, in one query.

    Raises:
        StatementFailed: One of them is gone.
    """
    wanted = [sequence for sequence in sequences if sequence.readable]
    if not wanted:
        return {}
    selects = [
        f"SELECT {sequence.oid}::pg_catalog.oid, last_value, is_called FROM {sequence.sql}"
        for sequence in wanted
    ]
    return {oid: State(value, called) for oid, value, called in admin.rows(union_all(selects))}


def set_states(admin: Admin, states: Mapping[int, State]) -> None:
    """Put sequences, given by oid, into these states, in one statement. No rollback undoes it.

    Raises:
        StatementFailed: One is gone, does not allow the value, or the role may not set it.
    """
    if states:
        values = [state.last_value for state in states.values()]
        admin.rows(_SET, (list(states), values, [state.is_called for state in states.values()]))


def first_state(sequence: Sequence) -> State:
    """Return the state that gives 1 next, or its own first value where the sequence may never give 1."""
    value = 1 if sequence.min <= 1 <= sequence.max else sequence.start
    return State(value, is_called=False)


def reset_sequences(
    admin: Admin, schema: Schema, wanted: Mapping[int, State], *, only_moved: bool = True
) -> tuple[Sequence, ...]:
    """Put the sequences whose oids ``wanted`` names into those states and return the ones that were set.

    Args:
        admin: Inside the database, whose mark the caller has checked.
        schema: The database's; oids that it does not have are left alone.
        wanted: States by oid.
        only_moved: Leave those alone that stand there already. One that the role may set but not read is always set.

    Raises:
        StatementFailed: One is gone, does not allow the value, or the role may not set it.
    """
    sequences = [sequence for sequence in schema.sequences if sequence.oid in wanted]
    standing = read_states(admin, sequences) if only_moved else {}
    moved = [one for one in sequences if standing.get(one.oid) != wanted[one.oid]]
    set_states(admin, {one.oid: wanted[one.oid] for one in moved})
    return tuple(moved)
