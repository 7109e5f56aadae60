"""The kinds a setting can be of: each turns what was written into the one type the rest of freshpg sees."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_DURATION = r"([0-9]+(?:\.[0-9]+)?) *(ms|s|min|m|h|d) *"
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = r"([0-9]+(?:\.[0-9]+)?) *([kmgt]?)(?:i?b)?"
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_PARAMETER = r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*"


class RefusedValue(ValueError):
    """A value that its kind does not take; the message says why, and may be empty."""


class Kind(NamedTuple):
    """One kind of value.

    ``convert`` takes what a file or a call gave, ``from_text`` what the environment or an option gave.
    """

    expected: str
    convert: Callable[[Any], Any]
    from_text: Callable[[str], Any] = str


def optional(kind: Kind) -> Kind:
    """Return the kind that also takes ``None``."""
    return Kind(
        kind.expected, lambda value: None if value is None else kind.convert(value), kind.from_text
    )


def text(expected: str) -> Kind:
    """Return the kind of a string that says something."""
    return Kind(expected, _text)


def word_of(words: tuple[str, ...]) -> Kind:
    """Return the kind of one word out of a few."""

    def convert(value: object) -> str:
        if value not in words:
            raise RefusedValue
        return str(value)

    return Kind(f"one of {', '.join(words)}", convert)


def integer(low: int, high: int) -> Kind:
    """Return the kind of a whole number from ``low`` to ``high``."""

    def convert(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedValue
        if not low <= value <= high:
            raise RefusedValue("out of range")
        return value

    return Kind(f"a whole number from {low} to {high}", convert, _number)


def major_version(low: int, high: int) -> Kind:
    """Return the kind of a major version of PostgreSQL, as a number or a string."""
    inner = integer(low, high)

    def convert(value: object) -> int:
        result: int = inner.convert(_number(value) if isinstance(value, str) else value)
        return result

    return Kind(f'a major version of PostgreSQL from {low} to {high}, such as "{high}"', convert)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedValue
    if not value.strip():
        raise RefusedValue("it is empty")
    if "\0" in value:
        raise RefusedValue("it holds a NUL character")
    return value


def _number(value: str) -> int | str:
    # Python's int() also takes "1_0", " 10 " and digits of other scripts.
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value.strip()) else value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise RefusedValue
    return value


def _seconds(value: object) -> float:
    if isinstance(value, str):
        return _seconds_of_text(value.strip())
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RefusedValue
    if not math.isfinite(value) or value < 0:
        raise RefusedValue("out of range")
    return float(value)


def _above_zero(seconds: float) -> float:
    if not seconds:
        raise RefusedValue("out of range")
    return seconds


def _seconds_of_text(value: str) -> float:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return _seconds(float(value))
    if not re.fullmatch(rf"(?:{_DURATION})+", value):
        raise RefusedValue
    return _seconds(
        sum(float(amount) * _SECONDS[unit] for amount, unit in re.findall(_DURATION, value))
    )


def _bytes(value: object) -> int:
    if isinstance(value, str):
        match = re.fullmatch(_SIZE, value.strip(), re.IGNORECASE | re.ASCII)
        if not match:
            raise RefusedValue
        amount = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ")
        return _bytes(int(amount) if math.isfinite(amount) else -1)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedValue
    if value < 0:
        raise RefusedValue("out of range")
    return value


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise RefusedValue("a single string: put it in brackets")
    if not isinstance(value, list | tuple):
        raise RefusedValue
    for number, item in enumerate(value, 1):
        try:
            _text(item)
        except RefusedValue as error:
            raise RefusedValue(
                f"item {number}: {error}" if str(error) else f"item {number} is not a string"
            ) from None
    return tuple(value)


def _strings_of_text(value: str) -> list[str] | str:
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    import tomllib

    try:
        items: list[str] = tomllib.loads(f"items = {value.strip()}")["items"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return value
    return items


def _parameters(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RefusedValue
    return dict(sorted(_flat("", value)))


def _flat(prefix: str, table: dict[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            # TOML reads the bare key app.tenant as a table.
            pairs += _flat(f"{prefix}{key}.", value)
        else:
            pairs.append(
                (_parameter_name(f"{prefix}{key}"), _parameter_value(f"{prefix}{key}", value))
            )
    return pairs


def _parameter_name(name: str) -> str:
    if not re.fullmatch(_PARAMETER, name):
        raise RefusedValue(f"{name!r} cannot be the name of a server parameter")
    if name.lower() in OWNED_PARAMETERS:
        raise RefusedValue(f"{name} is decided by freshpg: its servers are private to one run")
    return name.lower()


def _parameter_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and not re.search(r"[\0\r\n]", value):
        return value
    raise RefusedValue(f"{name} is not a string of one line, a number or a boolean")


OWNED_PARAMETERS = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
    }
)
"""Server parameters that would move a server of ours out of its private directory."""

BOOLEAN = Kind("true or false", _boolean, lambda value: _WORDS.get(value.strip().lower(), value))
DURATION = Kind('a duration such as "10m", "90s", "1h", or a number of seconds from 0 up', _seconds)
SPAN = Kind(
    'a duration above 0 such as "10m", "90s", "1h", or a number of seconds',
    lambda value: _above_zero(_seconds(value)),
)
SIZE = Kind('a size such as "2GB", "500MB", or a number of bytes from 0 up', _bytes)
STRINGS = Kind('a list of strings such as ["a", "b"]', _strings, _strings_of_text)
PARAMETER = Kind('the value of a server parameter such as "64MB"', str)
PARAMETERS = Kind('a table of server parameters such as { work_mem = "64MB" }', _parameters)
