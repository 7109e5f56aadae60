"""The log of what went wrong: ``.freshpg/log/errors.jsonl`` beside the settings, for every process of every run.

One JSON object a line, each written by one call to a file opened for appending, so that lines of several processes never
mix. The file is opened for each line: errors are rare, and nothing has to be closed, inherited or told of a rotation.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from freshpg.core.clock import Clock
    from freshpg.core.events import Event

FORMAT = 1

NAME = "errors.jsonl"

LONGEST_TEXT = 4000
"""Characters of one value that are kept."""


class ErrorLog:
    """Appends lines, and renames the file to ``errors.1.jsonl`` and so on when it is full.

    A log that cannot be written is no reason to fail: :attr:`problem` then says why.

    Args:
        directory: Made with the first line.
        who: The worker that writes, for a person.
        secrets: Texts that are replaced wherever they stand; passwords in addresses are found without being named.
        limit: Bytes after which a file is full.
        files: Files kept, the current one included; the oldest goes.
        clock: Tells the time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        who: str = "",
        secrets: Iterable[str | None] = (),
        limit: int = 1 << 20,
        files: int = 4,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.path = directory / NAME
        self.problem = ""
        self._who = who
        self._secrets = tuple(filter(None, secrets))
        self._limit = limit
        self._files = files
        self._clock = clock

    def write(self, kind: str, **facts: Any) -> None:
        """Append one line: ``kind`` is ours, yours, infrastructure, or the name of an event."""
        try:
            self._append(self._line(kind, facts))
        except OSError as error:
            self.problem = str(error)

    def take(self, event: Event) -> None:
        """Listen to the bus; only events about failures are written down."""
        if event.logged and is_dataclass(event):
            facts = {field.name: getattr(event, field.name) for field in fields(event)}
            self.write(type(event).__name__, **facts)

    def _line(self, kind: str, facts: Mapping[str, Any]) -> bytes:
        moment = datetime.fromtimestamp(self._clock.time(), UTC)
        entry = {
            "v": FORMAT,
            "at": moment.isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
            **({"who": self._who} if self._who else {}),
            "kind": kind,
            **{key: self._plain(value) for key, value in facts.items() if value not in ("", None)},
        }
        return json.dumps(entry).encode() + b"\n"

    def _plain(self, value: Any) -> Any:
        if isinstance(value, bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [self._plain(one) for one in value]
        text = redact(str(value), *self._secrets)
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"

    def _append(self, line: bytes) -> None:
        try:
            log = self._open()
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            log = self._open()
        try:
            if os.fstat(log).st_size + len(line) > self._limit:
                os.close(log)
                log = -1
                self._rotate(len(line))
                log = self._open()
            os.write(log, line)
        finally:
            if log >= 0:
                os.close(log)

    def _open(self) -> int:
        # No link is followed to another file, and a FIFO is an error, not a wait for its reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        # Statements and rows of tests stand in messages: nobody else's to read.
        return os.open(self.path, flags | os.O_NONBLOCK, 0o600)

    def _rotate(self, room: int) -> None:
        import fcntl

        lock = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Whoever has the lock is doing it, or has just done it: this line then goes where it can, full or not.
            with suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self.path.stat().st_size + room > self._limit:
                    self._shift()
        finally:
            os.close(lock)

    def _shift(self) -> None:
        for number in range(self._files - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number - 1).replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_suffix(f".{number}{self.path.suffix}") if number else self.path
