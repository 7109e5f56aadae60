"""Printing for a person and for a program: data on standard output, words about it on standard error."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from freshpg.core.printable import plain, plain_json, plain_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA = 1
"""Of everything ``--json`` prints; counts up when a name or a meaning in it changes."""


def wants_color(environment: Mapping[str, str]) -> bool | None:
    """Return whether to color whatever the output is; None: only on a terminal. See https://no-color.org."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return True if environment.get("FORCE_COLOR") else None


def print_json(data: Mapping[str, Any], *, err: bool = False) -> None:
    """Print one object, with the number of its schema."""
    text = json.dumps({"schema": SCHEMA, **data}, indent=2, ensure_ascii=False)
    click.echo(plain_json(text), err=err)


def say(text: str) -> None:
    """Tell a person something on standard error."""
    click.echo(plain(text), err=True)


class Styled(str):
    """Text with sequences for a terminal that are ours."""

    __slots__ = ()


def bold(text: str) -> Styled:
    """Return a heading."""
    return Styled(click.style(plain(text), bold=True))


def faint(text: str) -> Styled:
    """Return a side remark."""
    return Styled(click.style(plain(text), dim=True))


def mark(good: bool | None) -> Styled:
    """Return a sign for good, bad, or neither."""
    if good is None:
        return Styled(" ")
    return Styled(click.style("+", fg="green") if good else click.style("-", fg="red"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """Print rows below bold headers, as wide as their contents."""
    lines = [tuple(header), *(tuple(_cell(text) for text in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(indent + (bold(text.rstrip()) if number == 0 else text.rstrip()))


def _cell(text: str) -> str:
    return text if isinstance(text, Styled) else plain_line(text)


def size(count: int | None) -> str:
    """Return a number of bytes for a person."""
    if count is None:
        return "?"
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def duration(seconds: float) -> str:
    """Return a span of time for a person: ``3.4 ms``, ``1.2 s``, ``5 min``, ``2 h``, ``3 d``."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    for limit, unit, length in ((100, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds:.1f} s" if unit == "s" else f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def ago(moment: float) -> str:
    """Return how long ago a moment (seconds since the epoch) was."""
    return f"{duration(max(0.0, time.time() - moment))} ago" if moment else "-"
