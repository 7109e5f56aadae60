"""Which statements begin, end or divide a transaction, by their text. Pure.

https://www.postgresql.org/docs/current/sql-commands.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from freshpg.templates.migrations.sqlscanner import StatementScanner, Stop

Kind = Literal[
    "begin", "commit", "rollback", "savepoint", "two-phase", "prepares", "forgets", "mixed"
]

CONTROLS: frozenset[Kind] = frozenset({"begin", "commit", "rollback", "two-phase", "mixed"})
"""Kinds that must never reach the server as they are: they would touch the outer transaction."""

_LONGEST_KEPT = 4096
"""Bytes of a statement whose kind is remembered."""

_PERHAPS = re.compile(
    rb"\b(?:begin|start|commit|end|rollback|abort|savepoint|release|prepare|deallocate|discard)\b",
    re.IGNORECASE,
)
_BLANK = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)+", re.DOTALL)
_BEGIN = re.compile(r"(?:BEGIN(?: WORK| TRANSACTION)?|START TRANSACTION)(?: (?P<modes>.+))?")
_END = re.compile(
    r"(?P<verb>COMMIT|END|ROLLBACK|ABORT)(?: WORK| TRANSACTION)?(?: AND (?P<no>NO )?(?P<chain>CHAIN))?"
)
_PLAIN: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile("PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED"), "two-phase"),
    (re.compile("PREPARE "), "prepares"),
    (re.compile("DEALLOCATE|DISCARD"), "forgets"),
    (re.compile("(?:SAVEPOINT|RELEASE|ROLLBACK(?: WORK| TRANSACTION)? TO) "), "savepoint"),
)


@dataclass(frozen=True, slots=True)
class Control:
    """What a statement does to transactions or to prepared statements.

    Attributes:
        kind: ``savepoint`` is any statement about savepoints; ``prepares`` and ``forgets`` are about prepared
            statements; ``mixed`` is several statements of which one begins or ends a transaction.
        tag: What the server answers to a beginning or an end.
        chain: The end begins the next transaction.
        modes: Transaction modes of a beginning, as written but for blanks.
    """

    kind: Kind
    tag: str = ""
    chain: bool = False
    modes: str = ""


def control_in(query: bytes) -> Control | None:
    """Return what a query does to transactions; None for most."""
    return _remembered(query) if len(query) <= _LONGEST_KEPT else _control_in(query)


def _control_in(query: bytes) -> Control | None:
    if not _PERHAPS.search(query):
        return None
    text = query.decode(errors="replace")
    parts = _statements(text) if ";" in text.rstrip("; \t\r\n") else [text]
    found = [control for control in map(_control_of, parts) if control]
    if len(parts) == 1 or not found:
        return found[0] if found else None
    kinds = {control.kind for control in found}
    if kinds & CONTROLS:
        return Control("mixed")
    return next((control for control in found if control.kind != "savepoint"), found[0])


_remembered = lru_cache(maxsize=512)(_control_in)


def _statements(text: str) -> list[str]:
    scanner = StatementScanner(lambda: True)
    found: list[str] = []
    position, stop = 0, Stop.STATEMENT_END
    while stop is not Stop.LINE_END:
        position, stop = scanner.scan(text, position, 1)
        if stop is Stop.BACKSLASH:
            # Of psql alone; the server will say so.
            position += 1
            continue
        statement, _ = scanner.take()
        if statement:
            found.append(statement)
    return found


def _control_of(statement: str) -> Control | None:
    words = _BLANK.sub(" ", statement).strip(" ;").upper()
    for pattern, plain in _PLAIN:
        if pattern.match(words):
            return Control(plain)
    if begin := _BEGIN.fullmatch(words):
        tag = "START TRANSACTION" if words.startswith("START") else "BEGIN"
        return Control("begin", tag=tag, modes=begin["modes"] or "")
    if end := _END.fullmatch(words):
        kind: Kind = "commit" if end["verb"] in {"COMMIT", "END"} else "rollback"
        return Control(kind, tag=kind.upper(), chain=bool(end["chain"]) and not end["no"])
    return None
