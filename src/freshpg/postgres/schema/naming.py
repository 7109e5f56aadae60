"""From a name as people write it to the table it means, by PostgreSQL's rules. Pure.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
"""

from __future__ import annotations

import difflib
import re
import string
from typing import TYPE_CHECKING

from freshpg.core.errors import TableUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.postgres.schema.model import Table

_PART = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^\W\d][\w$]*))\s*')

# The server folds other letters only in single-byte encodings, so not in UTF-8.
_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def parse(text: str) -> tuple[str, str]:
    """Return schema (empty when not given) and name that ``text`` stands for.

    Raises:
        TableUnknown: It is no name, or has more than two parts.
    """
    parts: list[str] = []
    position = 0
    while True:
        found = _PART.match(text, position)
        if found is None:
            raise _not_a_name(text)
        parts.append(_unquoted(found))
        position = found.end()
        if position == len(text):
            break
        if text[position] != "." or len(parts) == 2:
            raise _not_a_name(text)
        position += 1
    return ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def find(text: str, by_name: Mapping[str, tuple[Table, ...]], search_path: Iterable[str]) -> Table:
    """Return the table that ``text`` means: along the search path first, then wherever there is only one.

    Raises:
        TableUnknown: There is none, or several; says which were near.
    """
    schema, name = parse(text)
    candidates = {table.schema: table for table in by_name.get(name, ())}
    for place in (schema,) if schema else search_path:
        if place in candidates:
            return candidates[place]
    if not schema and len(candidates) == 1:
        return next(iter(candidates.values()))
    if not schema and candidates:
        raise _ambiguous(text, [table.qualified for table in candidates.values()])
    raise _unknown(text, schema, name, by_name)


def _unquoted(part: re.Match[str]) -> str:
    quoted = part["quoted"]
    return quoted.replace('""', '"') if quoted else part["plain"].translate(_FOLDED)


def _not_a_name(text: str) -> TableUnknown:
    return TableUnknown(
        "a table was named",
        on=repr(text),
        seen="this is no name of a table",
        todo=('write it as in SQL: cart, public.cart, or "Cart" where it was created in quotes',),
        name=text,
        nearest=(),
    )


def _ambiguous(text: str, names: list[str]) -> TableUnknown:
    return TableUnknown(
        "a table was named",
        on=repr(text),
        seen=f"several have this name, none in the search path: {', '.join(names)}",
        todo=("name the schema too",),
        name=text,
        nearest=tuple(names),
    )


def _unknown(
    text: str, schema: str, name: str, by_name: Mapping[str, tuple[Table, ...]]
) -> TableUnknown:
    near = _nearest(schema, name, by_name)
    tables = sum(len(found) for found in by_name.values())
    return TableUnknown(
        "a table was named",
        on=repr(text),
        seen=f"none of the {tables} tables of this database has this name"
        if tables
        else "this database has no tables",
        todo=(
            *((f"did you mean {' or '.join(near)}?",) if near else ()),
            "freshpg graph lists all tables of the template",
        ),
        name=text,
        nearest=near,
    )


def _nearest(
    schema: str, name: str, by_name: Mapping[str, tuple[Table, ...]], count: int = 3
) -> tuple[str, ...]:
    """Return the same name elsewhere or in another case first, then similar ones."""
    lowered: dict[str, list[Table]] = {}
    for tables in by_name.values():
        for table in tables:
            lowered.setdefault(table.name.lower(), []).append(table)
    close = difflib.get_close_matches(name.lower(), lowered, n=count)
    found = [table for word in close for table in lowered[word]]
    found.sort(key=lambda table: (table.name.lower() != name.lower(), table.schema != schema))
    return tuple(table.qualified for table in found[:count])
