"""Claiming paths while the keeper still starts, so that a data directory is copied meanwhile.

A keeper begins by reading what the owners of a keeper before it had claimed, and removes it once they are dead. A
record of that form, written by the owner itself while there is no keeper or it does not know of one, holds the same
way: a young keeper looks for such records again and again, and once more before it leaves. Whoever dies in between
leaves it to that keeper or, was that killed too, to the next one at this root.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from freshpg.core.faults import faultpoint
from freshpg.servers import private
from freshpg.servers.keeper import identity, ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freshpg.servers.keeper.client import Keeper


class EarlyClaims:
    """What this process claimed at ``root`` before it could tell the keeper."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: list[Path] = []
        self._records: list[str] = []

    def can_hold(self, paths: Sequence[Path]) -> bool:
        """Whether a keeper that knows no root but its own would remove them."""
        return all(path.is_relative_to(self.root) for path in paths)

    def add(self, paths: Sequence[Path], label: str) -> None:
        """Write down that ``paths`` go when this process dies."""
        shelf = self.root / ledger.CLAIMS
        private.make_directory(shelf, exist_ok=True)
        faultpoint("early.shelf_made")
        record = f"{shelf}/{os.urandom(8).hex()}.json"
        pid = os.getpid()
        ledger.write(
            record,
            {
                "paths": [str(path) for path in paths],
                "owner": {"pid": pid, "start": identity.start_token(pid), "label": label},
                "early": True,
                "keeper": str(self.root),
                "boot": identity.boot_id(),
                "namespace": identity.pid_namespace(),
            },
        )
        self._records.append(record)
        self._paths += paths

    def hand_over(self, keeper: Keeper) -> None:
        """Claim the same by word of mouth; the records then go, whether the keeper had read them or not."""
        if not self._paths:
            return
        keeper.claim(self._paths)
        faultpoint("early.claimed")
        keeper.resume()
        self.forget()

    def forget(self) -> None:
        """Take the records back."""
        for record in self._records:
            ledger.forget(record)
        self._paths, self._records = [], []

    @property
    def remain(self) -> bool:
        """Whether something that was claimed is still there."""
        return any(path.exists() for path in self._paths)
