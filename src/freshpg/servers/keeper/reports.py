"""What the keeper tells its clients, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Died:
    """A postmaster of ours ended by itself; its directory stays until it is released."""

    server: str
    status: int | None
    log: str


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A server as the keeper knows it. ``meta`` is whatever its starter noted, ``left`` what its last owner did."""

    id: str
    directory: Path
    data: Path
    key: str
    uid: int
    gid: int
    pid: int
    state: str
    meta: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    owner: dict[str, Any] = field(default_factory=dict)
    idle_left: float | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Read the keeper's form."""
        named = {
            name: record[name]
            for name in ("id", "key", "uid", "gid", "pid", "state", "meta", "owner")
        }
        return cls(
            directory=Path(record["dir"]),
            data=Path(record["data"]),
            idle_left=record.get("idle_left"),
            left=record.get("left") or {},
            **named,
        )
