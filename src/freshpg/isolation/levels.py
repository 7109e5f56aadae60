"""The levels of isolation: their names and what each one is. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal, get_args

from freshpg.core.errors import IsolationUnknown

Level = Literal["readonly", "rollback", "reset", "clone", "server"]

LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """What a level promises, and what it needs."""

    name: Level
    a_test_may: str
    protected_by: str
    needs_slots: bool
    needs_own_server: bool = False


FACTS: dict[Level, LevelFacts] = {
    "readonly": LevelFacts(
        "readonly",
        "read",
        "read-only transactions on a shared database",
        needs_slots=False,
    ),
    "rollback": LevelFacts(
        "rollback",
        "write on one connection",
        "an outer transaction that is rolled back",
        needs_slots=True,
    ),
    "reset": LevelFacts(
        "reset",
        "commit from any connection, thread, process or language",
        "the database is made equal to its template again, under the same name",
        needs_slots=True,
    ),
    "clone": LevelFacts(
        "clone",
        "also change the schema at will, or drop the database",
        "the next test gets a clone that nobody has used",
        needs_slots=True,
    ),
    "server": LevelFacts(
        "server",
        "also create roles, change server settings, replicate",
        "the server is the test's alone and ends with it",
        needs_slots=True,
        needs_own_server=True,
    ),
}


def parse(text: object) -> Level:
    """Return the level a user named.

    Raises:
        IsolationUnknown: There is no such level; says the nearest one.
    """
    if not isinstance(text, str) or text not in LEVELS:
        near = difflib.get_close_matches(str(text).strip().lower(), LEVELS, n=1)
        raise IsolationUnknown(
            "a level of isolation was named",
            on=repr(text),
            seen="there is no such level",
            todo=(
                *((f"perhaps {near[0]!r} was meant",) if near else ()),
                f"use one of: {', '.join(LEVELS)}",
            ),
            level=text,
        )
    return text
