"""What a lease's connection says of its holder, as a comment in its last statement. Pure.

The statement shows in ``pg_stat_activity.query``: telling costs no write, and it ends with the connection.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import Any

FORMAT = 1
DEFAULT_QUERY_BYTES = 1024
"""Default of ``track_activity_query_size``; one byte of it is the ending NUL."""

_COMMENT = re.compile(r"/\*(\{.*\})\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HolderNote:
    """Who holds leases through one connection; ``since`` is ISO 8601 in UTC."""

    pid: int
    host: str
    worker: str = ""
    test: str = ""
    since: str = ""

    def __str__(self) -> str:
        parts = [f"pid {self.pid} on {self.host}"]
        if self.worker:
            parts.append(f"worker {self.worker}")
        if self.test:
            parts.append(f"in {self.test}")
        if self.since:
            parts.append(f"since {self.since}")
        return ", ".join(parts)


def to_comment(note: HolderNote, limit: int = DEFAULT_QUERY_BYTES) -> bytes:
    r"""Return the note as an SQL comment of fewer than ``limit`` bytes.

    It is plain ASCII, and every ``/`` is written ``\u002f``: comments of PostgreSQL nest, so a test's name must neither
    end this one nor open another inside. The test's name is cut when it does not fit.
    """
    comment = _encode(note, note.test)
    if len(comment) < limit:
        return comment
    low, high = 0, len(note.test)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encode(note, note.test[:middle] + "…")) < limit:
            low = middle
        else:
            high = middle - 1
    return _encode(note, note.test[:low] + "…")


def from_query(query: str | None) -> HolderNote | None:
    """Read a note out of a statement; ``None`` when there is none or it is cut."""
    found = _COMMENT.search(query or "")
    if not found:
        return None
    try:
        data: Any = json.loads(found[1])
    except ValueError:
        return None
    if (
        not isinstance(data, dict)
        or data.get("freshpg") != FORMAT
        or not isinstance(data.get("pid"), int)
    ):
        return None
    texts = {
        field.name: str(data.get(field.name, ""))
        for field in fields(HolderNote)
        if field.name != "pid"
    }
    return HolderNote(pid=data["pid"], **texts)


def _encode(note: HolderNote, test: str) -> bytes:
    # Before every test: field by field, which takes a third of the time of asdict().
    data = {"freshpg": FORMAT, "pid": note.pid, "host": note.host, "worker": note.worker}
    data |= {"test": test, "since": note.since}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("/", "\\u002f")
    return f"/*{text}*/".encode("ascii")
