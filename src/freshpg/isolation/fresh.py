"""What one process says to the next about the clones it leaves: nobody used them, up to a moment of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from freshpg.isolation.audit.baseline import Baseline

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH = "fresh"
"""Where an image, and the last owner of a warm server, say it."""


@dataclass(frozen=True, slots=True)
class FreshClones:
    """Clones on a server that nobody could enter since.

    Attributes:
        names: By the name of their blueprint's database. Beside them that blueprint has no database on any slot.
        baseline: When they were known to be fresh.
    """

    names: Mapping[str, tuple[str, ...]]
    baseline: Baseline

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data; nobody is in the middle of anything, so there are no running transactions."""
        return {
            "names": {base: list(names) for base, names in self.names.items()},
            "lsn": self.baseline.lsn,
            "xid": self.baseline.xid,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any] | None) -> Self | None:
        """Read it; None when nothing was said."""
        if not said:
            return None
        return cls(
            {str(base): tuple(map(str, names)) for base, names in said["names"].items()},
            Baseline(int(said["lsn"]), int(said["xid"])),
        )
