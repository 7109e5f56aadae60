"""What ``--pg-strict`` and ``--pg-prove`` look at when a test gives its database back."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from freshpg.core.errors import FreshpgError, NotProven, TestUntidy

if TYPE_CHECKING:
    from freshpg.handle import Database
    from freshpg.isolation.residue import Residue

RESETTING = frozenset({"rollback", "reset"})
"""Levels that make a used database equal to its template again; the others take another one."""

COMMITTING = frozenset({"reset", "clone"})
"""Levels whose tests may have sessions of their own; with ``rollback`` the one there is must be in a transaction."""


def problem_of(database: Database, *, strict: bool, prove: bool) -> FreshpgError | None:
    """Return why the test that has the database fails after all; None when there is nothing to say.

    Raises:
        FreshpgError: It could not be looked at.
    """
    if strict and database.isolation in COMMITTING:
        residue = database.audit()
        if residue.sessions or residue.prepared:
            return _untidy(database, residue)
    if prove and database.isolation in RESETTING:
        undone = database.reset()
        found = database.prove()
        if found:
            return _not_proven(database, undone, found)
    return None


def escape_of(database: Database, residue: Residue, *, strict: bool) -> TestUntidy | None:
    """Return why a test with isolation ``rollback`` fails through which something was committed; warn if not strict.

    The one connection of such a test commits nothing: whatever is left came through another one.
    """
    if not (residue.tables or residue.objects):
        return None
    test = database.test or database.name
    if not strict:
        text = f"{test} has isolation 'rollback', and yet something was committed; it was undone. {residue}"
        warnings.warn(pytest.PytestWarning(text), stacklevel=2)
        return None
    return TestUntidy(
        "a test with isolation 'rollback' gave its database back",
        on=test,
        seen=f"something was committed through another connection\n{residue}",
        todo=(
            "let the code under test use the test's connection (pg_conn, pg_session, db.connect())",
            "or give this test isolation 'reset', which allows commits from anywhere",
        ),
        residue=residue,
    )


def _untidy(database: Database, residue: Residue) -> TestUntidy:
    lines = [str(session) for session in residue.sessions]
    lines += [f"prepared transaction {name!r}" for name in residue.prepared]
    return TestUntidy(
        "a test gave its database back",
        on=database.test or database.name,
        seen="\n".join(lines),
        todo=(
            "end every transaction, and close or await what still runs, before the test ends",
            "without --pg-strict freshpg ends these sessions and says nothing",
        ),
        residue=residue,
    )


def _not_proven(database: Database, undone: Residue, found: Residue) -> NotProven:
    return NotProven(
        "a database was made equal to its template and then compared whole",
        on=database.test or database.name,
        seen=f"{found}\nafter undoing: {undone}",
        todo=(
            "docs/explanation/isolation.md lists what the quick audit cannot see",
            "is it not listed there, please report it, with what the test does",
            "isolation 'clone' gives the next test another database, whatever this one did",
        ),
        residue=found,
        undone=undone,
    )
