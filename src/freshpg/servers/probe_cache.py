"""What programs answered, remembered while their files stay the same: a warm start runs no subprocess."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freshpg.servers import private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(slots=True)
class ProbeCache:
    """Answers by file path, each valid for one size and modification time.

    A cache that cannot be read or written is no error: the programs are then asked again. Two processes that write
    at once may lose an entry, never damage one.
    """

    path: Path | None
    _entries: dict[str, dict[str, str]] | None = field(default=None, init=False)

    def get(self, files: Sequence[Path]) -> dict[str, str] | None:
        """Return what was remembered for exactly these files as they are now."""
        return self._read().get(_identity(files))

    def put(self, files: Sequence[Path], answer: dict[str, str]) -> None:
        """Remember an answer for these files, in place of what was known of earlier ones at the same paths."""
        identity = _identity(files)
        paths = _paths_of(identity)
        kept = {known: value for known, value in self._read().items() if _paths_of(known) != paths}
        self._entries = kept | {identity: answer}
        self._write()

    def _read(self) -> dict[str, dict[str, str]]:
        if self._entries is None:
            self._entries = {}
            with contextlib.suppress(OSError, ValueError):
                loaded = json.loads(self.path.read_bytes()) if self.path else {}
                if isinstance(loaded, dict):
                    self._entries = {
                        key: value for key, value in loaded.items() if isinstance(value, dict)
                    }
        return self._entries

    def _write(self) -> None:
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            private.replace_file(self.path, json.dumps(self._entries, indent=1).encode())


def _identity(files: Sequence[Path]) -> str:
    facts = []
    for file in files:
        seen = file.stat()
        facts.append(f"{file}\0{seen.st_size}:{seen.st_mtime_ns}")
    return "\n".join(facts)


def _paths_of(identity: str) -> list[str]:
    return [line.partition("\0")[0] for line in identity.split("\n")]
