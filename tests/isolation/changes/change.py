"""What one change is, and the hands that carry it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.conninfo import Conninfo

Need = Literal[
    "superuser", "two phases", "logical", "slots", "hstore", "postgres_fdw", "checkpoint"
]


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Args:
        name: What happens, in a few words.
        do: SQL statements, or what to do with open connections.
        content: Whether the database is another one afterwards, to whoever reads it; the deep audit says so then.
        needs: What role and server must be able to; ``superuser`` also says that a superuser does it.
        since: First major version that can.
        undo: Statements of a superuser that give the rest of the server back: for tests of the deep audit alone.
        unseen: Why the quick audit cannot see it, in the words of the docs; empty when it must.
        held: Whether an open session holds something that the next test would meet, whatever the content.
    """

    name: str
    do: str | tuple[str, ...] | Callable[[Hands], None]
    content: bool = True
    needs: frozenset[Need] = frozenset()
    since: int = 15
    undo: tuple[str, ...] = ()
    unseen: str = ""
    held: bool = False

    def __post_init__(self):
        if isinstance(self.do, str):
            object.__setattr__(self, "do", (self.do,))

    def carry_out(self, hands: Hands) -> None:
        """Do it, as the role it takes."""
        if callable(self.do):
            self.do(hands)
            return
        connection = hands.open(superuser="superuser" in self.needs)
        for statement in self.do:
            connection.execute(statement)


def needing(*needs: Need) -> frozenset[Need]:
    """Return the set of them."""
    return frozenset(needs)


@dataclass
class Hands:
    """Opens connections to one database; they stay open until :meth:`let_go`."""

    user: Conninfo
    superuser: Conninfo
    opened: list[psycopg.Connection] = field(default_factory=list)

    def open(self, *, superuser: bool = False, autocommit: bool = True) -> psycopg.Connection:
        """Open one, by default as the tests' role."""
        address = self.superuser if superuser else self.user
        connection = psycopg.connect(**address.keywords(), autocommit=autocommit)
        self.opened.append(connection)
        return connection

    def let_go(self) -> None:
        """Close all of them."""
        for connection in self.opened:
            connection.close()
        self.opened.clear()
