"""One question to many tables at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def union_all(selects: Sequence[str]) -> str:
    """Return one query for the rows of all, as a tree of halves: the parser descends as deep as a chain is long."""
    if len(selects) <= 2:
        return " UNION ALL ".join(selects)
    middle = len(selects) // 2
    return f"({union_all(selects[:middle])}) UNION ALL ({union_all(selects[middle:])})"
