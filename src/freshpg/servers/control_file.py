"""The head of ``global/pg_control``: enough to know whose cluster it is and whether it was shut down.

The first fields have the same places since PostgreSQL 9.3.
Source: https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_control.h
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

PATH: Final = "global/pg_control"
HEAD_BYTES: Final = 52

# In order: the system's identifier, the versions of this file and of the catalogs, the state, padding, a time, the
# checkpoint, its redo point, its timeline.
_HEAD: Final = struct.Struct("=QIIi4xqQQI")
_SHUT_DOWN: Final = 1
_STATES: Final = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)


@dataclass(frozen=True, slots=True)
class ControlFile:
    """What a cluster says of itself."""

    system_identifier: str
    control_version: int
    catalog_version: int
    state: str
    checkpoint: int
    redo: int
    timeline: int

    @property
    def is_shut_down(self) -> bool:
        """Whether the server ended with a shutdown checkpoint, so that no recovery is needed."""
        return self.state == _STATES[_SHUT_DOWN]

    def wal_segment(self, segment_bytes: int, *, offset: int = 0) -> str:
        """Return the name of the WAL file that holds the redo point, plus ``offset`` bytes."""
        number = (self.redo + offset) // segment_bytes
        per_log = 0x1_0000_0000 // segment_bytes
        return f"{self.timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def parse_control_file(content: bytes) -> ControlFile | None:
    """Read the head of ``pg_control``; None when it cannot be one."""
    if len(content) < HEAD_BYTES:
        return None
    system, version, catalog, state, _, checkpoint, redo, timeline = _HEAD.unpack(
        content[:HEAD_BYTES]
    )
    if not 0 <= state < len(_STATES) or not 900 <= version <= 9999:
        return None
    return ControlFile(str(system), version, catalog, _STATES[state], checkpoint, redo, timeline)
