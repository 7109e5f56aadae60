"""Which pack's checksum was compared since this machine started."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import TYPE_CHECKING, Final

from freshpg.servers import private
from freshpg.servers.keeper import identity

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = "verified"


def is_verified(directory: Path, pack: int) -> bool:
    """Whether the open ``pack`` was compared since boot and is the same file, unchanged since."""
    with contextlib.suppress(OSError):
        return _boot_id() != "" and (directory / _NAME).read_text() == _signature(pack)
    return False


def remember_verified(directory: Path, pack: int) -> None:
    """Note that the open ``pack`` was compared; not being able to only means to compare it again."""
    with contextlib.suppress(OSError):
        private.replace_file(directory / _NAME, _signature(pack).encode())


@cache
def _boot_id() -> str:
    return identity.boot_id()


def _signature(pack: int) -> str:
    seen = os.fstat(pack)
    return f"{_boot_id()} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"
