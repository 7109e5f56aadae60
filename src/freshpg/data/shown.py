"""How rows and values are shown to a person: short, on one line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_CHARACTERS = 60
"""Characters of one value that are shown."""


def shown(value: Any) -> str:
    """Return a value, cut in the middle of nowhere when it is long; ``NULL`` for ``None``."""
    if value is None:
        return "NULL"
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def shown_row(row: Mapping[str, Any]) -> str:
    """Return ``id=1 owner='ada'``."""
    return " ".join(f"{name}={shown(value)}" for name, value in row.items())
