"""The keepers of this user, found without starting one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from freshpg.servers import storage
from freshpg.servers.keeper.client import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

LABEL = "freshpg command"


@contextmanager
def running_keepers() -> Iterator[list[Keeper]]:
    """Give every keeper that answers at one of the runtime roots; nothing is made or started."""
    found = [
        keeper
        for root in storage.runtime_roots()
        if (root / "keeper.sock").is_socket()
        and (keeper := Keeper.find(root, roots=storage.runtime_roots(), label=LABEL))
    ]
    try:
        yield found
    finally:
        for keeper in found:
            keeper.close()
