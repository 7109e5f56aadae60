"""What a test left behind, as data: how its database differs from its template."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Change = Literal["created", "dropped", "altered"]

MOST_SHOWN = 4
"""Things named on one line of the text; the data has all."""


@dataclass(frozen=True, slots=True)
class TableResidue:
    """Rows of one table that are not as in the template; what cannot be told apart cheaply counts as changed."""

    table: str
    inserted: int = 0
    changed: int = 0
    deleted: int = 0

    def __str__(self) -> str:
        counts = (("+", self.inserted), ("~", self.changed), ("-", self.deleted))
        return " ".join([self.table, *(f"{sign}{count}" for sign, count in counts if count)])


@dataclass(frozen=True, slots=True)
class SequenceResidue:
    """A sequence that moved: its last value before and after, None where it had given none."""

    sequence: str
    was: int | None
    now: int | None

    def __str__(self) -> str:
        was, now = ("unused" if value is None else str(value) for value in (self.was, self.now))
        return f"{self.sequence} {now} (was {was})"


@dataclass(frozen=True, slots=True)
class ObjectResidue:
    """An object of the schema, the database or the server that is not as in the template.

    ``kind`` is PostgreSQL's word (``table``, ``function``, ``role``, ``setting``), or the name of a catalog where only
    that is known.
    """

    kind: str
    name: str
    change: Change

    def __str__(self) -> str:
        return f"{self.change} {self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class SessionResidue:
    """A session that is in the middle of something, or holds an advisory lock.

    Attributes:
        pid: Of the server's process.
        application: Its ``application_name``.
        state: As in ``pg_stat_activity``.
        seconds: Since its transaction began, or else its last query.
        query: Its last statement, shortened.
        locks: Advisory locks it holds.
        origin: File and line that opened it, where it came from ``Database.connect``.
    """

    pid: int
    application: str
    state: str
    seconds: float
    query: str
    locks: int = 0
    origin: str = ""

    def __str__(self) -> str:
        held = f", {self.locks} advisory lock{'s' * (self.locks != 1)}" if self.locks else ""
        where = f", opened at {self.origin}" if self.origin else ""
        name = f" {self.application!r}" if self.application else ""
        return f"pid {self.pid}{name} {self.state} for {self.seconds:.1f} s{held}{where}: {self.query[:80]}"


@dataclass(frozen=True, slots=True)
class Residue:
    """The answer to "does this database still equal its template?": falsy when it provably does.

    Attributes:
        database: Its name.
        replaced: A fresh clone took its place; otherwise what is listed was undone in place, or not yet.
        audited: It was compared. Without that nothing is known, and the residue counts as something.
        how: What was asked: ``pulse`` (nothing was written), ``wal`` (what was), ``asked`` (everything), ``deep``.
        tables: Rows, by table.
        sequences: Those that moved.
        objects: Of the schema, the database and the server.
        sessions: Open transactions, running queries, advisory locks.
        prepared: Names of prepared transactions.
        doubt: Why it is not known what was left, where that is so.
    """

    database: str
    replaced: bool = False
    audited: bool = False
    how: str = ""
    tables: tuple[TableResidue, ...] = ()
    sequences: tuple[SequenceResidue, ...] = ()
    objects: tuple[ObjectResidue, ...] = ()
    sessions: tuple[SessionResidue, ...] = ()
    prepared: tuple[str, ...] = ()
    doubt: str = ""

    def __bool__(self) -> bool:
        return not self.audited or bool(self._things) or bool(self.doubt)

    def __str__(self) -> str:
        if not self.audited:
            looked = "replaced by a fresh clone; what was left in it was not looked at"
            return (
                f"{self.database}: {looked if self.replaced else 'not compared with its template'}"
            )
        if not self:
            return f"{self.database}: identical to its template"
        undone = ", replaced by a fresh clone" if self.replaced else ""
        lines = [f"{self.database}: not as its template{undone}"]
        for title, things in (
            ("rows", self.tables),
            ("sequences", self.sequences),
            ("schema", self.objects),
            ("sessions", (*self.sessions, *(f"prepared {name!r}" for name in self.prepared))),
        ):
            if things:
                lines.append(f"  {title}: {_shown(things)}")
        if self.doubt:
            lines.append(f"  in doubt: {self.doubt}")
        return "\n".join(lines)

    def with_sessions(
        self, sessions: tuple[SessionResidue, ...], prepared: tuple[str, ...]
    ) -> Residue:
        """Return it with more sessions and prepared transactions, each pid once."""
        known = {session.pid for session in self.sessions}
        return replace(
            self,
            sessions=(*self.sessions, *(one for one in sessions if one.pid not in known)),
            prepared=(*self.prepared, *(name for name in prepared if name not in self.prepared)),
        )

    def with_rows(
        self, tables: tuple[TableResidue, ...], sequences: tuple[SequenceResidue, ...]
    ) -> Residue:
        """Return it with more tables and sequences; what is listed of one already, stays."""
        known = {found.table for found in self.tables} | {
            found.sequence for found in self.sequences
        }
        return replace(
            self,
            tables=(*self.tables, *(one for one in tables if one.table not in known)),
            sequences=(*self.sequences, *(one for one in sequences if one.sequence not in known)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return asdict(self)

    @property
    def _things(self) -> tuple[object, ...]:
        return (*self.tables, *self.sequences, *self.objects, *self.sessions, *self.prepared)


def _shown(things: Iterable[object]) -> str:
    texts = [str(thing) for thing in things]
    more = len(texts) - MOST_SHOWN
    return "; ".join([*texts[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])
