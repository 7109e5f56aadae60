"""From a Python value to a parameter that a column takes. Pure.

Every parameter is cast to the type of its column in the statement, so most values need nothing done. What is done here:
JSON, which could be any value; enums, which may be given as members of a Python ``Enum``; ranges, whose bounds must not
decide which of PostgreSQL's six range types they are; ``hstore``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import uuid
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

if TYPE_CHECKING:
    from freshpg.data.tables import Column


class Literal(str):
    """A value in the form in which PostgreSQL reads it: a cell of a CSV file, a made-up value."""

    __slots__ = ()


def to_parameter(column: Column, value: Any) -> Any:
    """Return ``value`` as a parameter for ``column``."""
    if value is None or isinstance(value, Literal):
        return value
    if column.is_array and _is_collection(value):
        return [to_parameter(column, one) for one in value]
    if column.base in {"json", "jsonb"}:
        return _json(column.base, value)
    if column.kind in {"r", "m"} or column.base == "hstore":
        return _composed(column, value)
    if isinstance(value, Enum):
        return _label(column, value)
    return str(value) if isinstance(value, PurePath) else value


def plain_json(value: Any) -> Any:
    """Return what ``json`` cannot write by itself as something it can.

    Raises:
        TypeError: It cannot be JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | decimal.Decimal | PurePath):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    message = f"a value of type {type(value).__name__} cannot be written as JSON"
    raise TypeError(message)


def _json(base: str, value: Any) -> Any:
    if isinstance(value, Json | Jsonb):
        return value
    kind = Jsonb if base == "jsonb" else Json
    return kind(value, dumps=partial(json.dumps, default=plain_json))


def _composed(column: Column, value: Any) -> Any:
    """Return ranges, multiranges and hstore as text: psycopg would choose the type by the values."""
    if isinstance(value, str):
        return value
    if column.kind == "r":
        return _range(value)
    if column.kind == "m":
        return "{" + ",".join(_range(one) for one in value) + "}"
    return ",".join(f"{_quoted(key)}=>{_hstore_value(one)}" for key, one in value.items())


def _label(column: Column, value: Enum) -> Any:
    if value.name in column.labels and value.value not in column.labels:
        return value.name
    return value.value


def _range(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Range):
        if value.isempty:
            return "empty"
        lower, upper, bounds = value.lower, value.upper, value.bounds
    else:
        # A pair means what Python's own ranges mean: with the lower bound, without the upper one.
        (lower, upper), bounds = value, "[)"
    return f"{bounds[0]}{_bound(lower)},{_bound(upper)}{bounds[1]}"


def _bound(value: Any) -> str:
    if value is None:
        return ""
    return _quoted(value.isoformat() if isinstance(value, dt.date) else value)


def _hstore_value(value: Any) -> str:
    return "NULL" if value is None else _quoted(value)


def _quoted(value: Any) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _is_collection(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(
        value, str | bytes | Mapping | Range | Multirange
    )
