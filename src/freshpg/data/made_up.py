"""Made-up values for columns that a row cannot leave out: the plainest one of each type, spread where it must. Pure."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from freshpg.data.values import Literal

if TYPE_CHECKING:
    from freshpg.data.tables import Column

INTEGERS = frozenset({"int2", "int4", "int8", "oid"})
_NUMBERS = frozenset({"numeric", "float4", "float8", "money"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name", "ltree"})
_MOMENTS = frozenset({"date", "timestamp", "timestamptz"})

_PLAIN = {
    "bool": "false",
    "time": "00:00",
    "timetz": "00:00+00",
    "interval": "0",
    "json": "{}",
    "jsonb": "{}",
    "jsonpath": "$",
    "bytea": "",
    "inet": "127.0.0.1",
    "cidr": "127.0.0.0/8",
    "macaddr": "02:00:00:00:00:00",
    "macaddr8": "02:00:00:ff:fe:00:00:00",
    "xml": "<a/>",
    "tsvector": "",
    "tsquery": "",
    "hstore": "",
    "point": "(0,0)",
    "lseg": "((0,0),(1,1))",
    "line": "{1,0,0}",
    "box": "((0,0),(1,1))",
    "path": "((0,0),(1,1))",
    "polygon": "((0,0),(1,1),(1,0))",
    "circle": "<(0,0),1>",
    "pg_lsn": "0/0",
    "varbit": "0",
    "char": "a",
}
_DIGITS = string.digits + string.ascii_lowercase
_DAYS = 20_000


def made_up(column: Column, number: int) -> Literal | None:
    """Return a value that ``column`` takes, another one for every ``number`` where the column must be unique.

    ``None`` when nothing is known about its type.
    """
    spread = number if column.unique else 1
    text = _by_kind(column, spread)
    if text is None:
        text = _by_type(column, number, spread)
    return None if text is None else Literal(text)


def _by_kind(column: Column, spread: int) -> str | None:
    if column.is_array or column.kind == "m":
        return "{}"
    if column.labels:
        return column.labels[(spread - 1) % len(column.labels)]
    return "empty" if column.kind == "r" else None


def _by_type(column: Column, number: int, spread: int) -> str | None:
    if column.base in INTEGERS | _NUMBERS:
        return str(spread)
    if column.base in _TEXTS:
        return _text(column, number)
    if column.base in _MOMENTS:
        return _day(spread)
    if column.base == "uuid":
        return f"00000000-0000-4000-8000-{number:012x}"
    if column.base == "bit":
        length = column.length or 1
        return format(spread, "b").zfill(length)[-length:]
    return _PLAIN.get(column.base)


def _text(column: Column, number: int) -> str:
    """Return ``name_1``, or as much of it as fits, the end first."""
    text = f"{''.join(c if c.isalnum() else '_' for c in column.name)}_{number}"
    if column.length is None or len(text) <= column.length:
        return text
    digits = _in_digits(number)
    return (column.name[: max(0, column.length - len(digits))] + digits)[-column.length :]


def _in_digits(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits


def _day(number: int) -> str:
    year, day = divmod(number % _DAYS, 28)
    return f"{2000 + year // 12:04}-{year % 12 + 1:02}-{day + 1:02}"
