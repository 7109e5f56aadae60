"""Databases kept for inspection: a bounded list in the project, so that every command finds them.

A kept database lives on the server of the worker whose test failed. The list says where; it is the project's, so
numbers are unique across workers, and when it is full the oldest one gives up its place.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freshpg.core import names
from freshpg.core.backoff import delays
from freshpg.core.clock import Deadline
from freshpg.core.errors import PathUnusable, WaitTimedOut
from freshpg.core.faults import faultpoint
from freshpg.servers import private
from freshpg.servers.shortage import shortage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freshpg.core.conninfo import Conninfo

_FAILED = "the list of databases kept for inspection was to be changed"

LOCK_SECONDS = 10.0
"""How long another process may take to change the list; it takes well below a millisecond."""


@dataclass(frozen=True, slots=True)
class KeptDatabase:
    """Where a kept database is and why; never a password."""

    name: str
    server: str
    host: str
    port: int
    user: str
    test: str
    why: str
    made: float

    def address(self, conninfo: Conninfo) -> Conninfo:
        """Return how to reach it; ``conninfo`` lends what is secret."""
        return conninfo.with_(host=self.host, port=self.port, user=self.user, dbname=self.name)


class KeptList:
    """``kept.json`` in the project's state directory, changed under a lock."""

    def __init__(self, directory: Path, *, limit: int = 5) -> None:
        self.path = directory / "kept.json"
        self.limit = limit

    def all(self) -> list[KeptDatabase]:
        """Return every entry, oldest first."""
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError):
            # A torn list only loses the way to databases that end with their server anyway.
            return []
        return sorted((KeptDatabase(**entry) for entry in entries), key=lambda kept: kept.made)

    def find(self, name: str) -> KeptDatabase | None:
        """Return the entry of this name."""
        return next((kept for kept in self.all() if kept.name == name), None)

    def reserve(self, base: str, entry: KeptDatabase) -> tuple[KeptDatabase, KeptDatabase | None]:
        """Enter a database under the next name of ``base``; return the entry and the one that gave up its place.

        Raises:
            PathUnusable: The list cannot be written.
            DiskFull: There is no room for it.
        """
        with self._locked():
            entries = self.all()
            taken = {kept.name: kept for kept in entries}
            candidates = [names.failed_name(base, number) for number in range(1, self.limit + 1)]
            free = next((name for name in candidates if name not in taken), None)
            oldest = None
            if free is None:
                oldest = min((taken[name] for name in candidates), key=lambda kept: kept.made)
                entries.remove(oldest)
            new = KeptDatabase(
                **{**asdict(entry), "name": free or (oldest.name if oldest else candidates[0])}
            )
            self._write([*entries, new])
            return new, oldest

    def forget(self, *names_gone: str) -> None:
        """Take entries off the list."""
        if not self.path.exists():
            return
        with self._locked():
            self._write([kept for kept in self.all() if kept.name not in names_gone])

    def sweep(self) -> None:
        """Remove what somebody who was killed while writing left; at each start, as the next writing may never come."""
        if self._draft.exists():
            # Whoever holds the lock writes: that draft is not left.
            with self._locked(seconds=0.0):
                self._draft.unlink(missing_ok=True)

    @property
    def _draft(self) -> Path:
        # One name, for only who holds the lock writes it.
        return self.path.with_suffix(".tmp")

    def _write(self, entries: list[KeptDatabase]) -> None:
        draft = self._draft
        handle = private.create(draft, os.O_WRONLY | os.O_TRUNC)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump([asdict(kept) for kept in entries], file, indent=1)
            faultpoint("kept.drafted")
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        faultpoint("kept.written")

    @contextmanager
    def _locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        with self._refusals_named():
            private.make_directory(self.path.parent, exist_ok=True)
            lock = private.create(self.path.with_suffix(".lock"), os.O_RDWR)
            with os.fdopen(lock, "rb+"):
                self._take(lock, seconds)
                yield

    @contextmanager
    def _refusals_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            named = shortage(error, _FAILED)
            if named is not None and not isinstance(named, PathUnusable):
                raise named from error
            raise PathUnusable(
                _FAILED,
                on=str(self.path.parent),
                seen=str(error),
                todo=("make the project directory writable", "or run without --pg-keep-failed"),
            ) from None

    def _take(self, lock: int, seconds: float) -> None:
        end = Deadline(seconds)
        for delay in delays(0.002, limit=0.1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if end.expired:
                    break
                end.clock.sleep(delay)
            else:
                return
        raise WaitTimedOut(
            _FAILED,
            on=str(self.path),
            seen=f"another process has held its lock for {seconds:g} s",
            todo=("see which process has it open: fuser, lsof; ending it frees the lock at once",),
        )
