"""What a file written by pg_dump may say that does not fit the database it is loaded into.

Treated as ``pg_restore --no-owner`` treats it: https://www.postgresql.org/docs/current/app-pgrestore.html
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from freshpg.postgres.quoting import literal

if TYPE_CHECKING:
    from freshpg.templates.migrations.session import Refusal, ScriptSession

_DUMP = re.compile(
    rb"^-- (?:PostgreSQL database dump|Name: .*; Type: [A-Z ]+; Schema: )", re.MULTILINE
)
_NAME = r'(?:"(?:[^"]|"")+"|[^\s";.]+)'
_OWNER = re.compile(rf"ALTER\s.+\sOWNER\s+TO\s+(?P<role>{_NAME})\s*;?", re.DOTALL | re.IGNORECASE)
_EXTENSION_COMMENT = re.compile(r"COMMENT\s+ON\s+EXTENSION\s", re.IGNORECASE)
_SET = re.compile(r"SET\s+\w+\s*=", re.IGNORECASE)
_CREATE_EXTENSION = re.compile(
    rf"CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{_NAME})(?=[\s;]|\Z)", re.IGNORECASE
)
_UNDEFINED_OBJECT = "42704"


def is_dump(head: bytes) -> bool:
    """Whether a file that starts so was written by pg_dump, as it is or trimmed (Rails does)."""
    return bool(_DUMP.search(head))


def created_extension(statement: str) -> str:
    """Return the name of the extension a statement creates, or nothing."""
    found = _CREATE_EXTENSION.match(statement)
    return _unquote(found["name"]) if found else ""


class DumpRules:
    """What to pass over in one dump, and how often it was."""

    def __init__(self, session: ScriptSession) -> None:
        self._session = session
        self._ours: dict[str, bool] = {}
        self._counts: Counter[str] = Counter()

    def passes_over(self, statement: str) -> bool:
        """Whether a statement only says who owns something, or describes an extension we did not make."""
        owner = _OWNER.fullmatch(statement)
        if owner and not self._may_own(_unquote(owner["role"])):
            self._counts[
                f"ALTER … OWNER TO {owner['role']} passed over: that role is not ours"
            ] += 1
            return True
        if _EXTENSION_COMMENT.match(statement):
            self._counts["COMMENT ON EXTENSION passed over: extensions belong to the admin"] += 1
            return True
        return False

    def forgives(self, statement: str, refusal: Refusal) -> bool:
        """Whether a refused statement only sets a parameter that a newer pg_dump knows and this server does not."""
        if refusal.sqlstate != _UNDEFINED_OBJECT or not _SET.match(statement):
            return False
        self._counts[
            f"{statement} passed over: this server is older than the pg_dump that wrote it"
        ] += 1
        return True

    def notes(self) -> list[str]:
        """Return one line for each thing passed over."""
        return [
            f"{text} ({count} times)" if count > 1 else text for text, count in self._counts.items()
        ]

    def _may_own(self, role: str) -> bool:
        if role not in self._ours:
            query = (
                "SELECT 1 FROM pg_catalog.pg_roles "
                f"WHERE rolname = {literal(role)} AND pg_catalog.pg_has_role(oid, 'MEMBER')"
            )
            self._ours[role] = self._session.value(query) is not None
        return self._ours[role]


def _unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
