"""Taking over what a dead keeper left, and noticing when its owners die too: they are no clients of this one."""

from __future__ import annotations

import os

from . import identity, ledger
from .faults import faultpoint
from .records import ENDING, ORPHANED, WARM, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .loop import Keeper


def take_over(keeper: Keeper, root: str) -> None:
    """Adopt the living servers below ``root`` that a dead keeper left, and remove the rest."""
    ledger.forget_drafts(root)
    for directory in ledger.server_directories(root):
        record = ledger.read(f"{directory}/server.json")
        if record is None:
            _take_over_nameless(keeper, root, directory)
        elif record["id"] not in keeper.servers and _is_ours(keeper, record):
            _take_over_server(keeper, Server(record), record)
    for path in ledger.claim_files(root):
        record = ledger.read(path)
        if record and _is_ours(keeper, record):
            keeper.early_seen.add(path)
            keeper.orphans[path] = record
    check_orphans(keeper)


def find_early_claims(keeper: Keeper) -> None:
    """Take in what was claimed by who found no keeper, and may die before it has told us; who is connected tells us."""
    connected = {(one.pid, one.started) for one in keeper.connections.values()}
    for path in ledger.claim_files(keeper.root):
        record = None if path in keeper.early_seen else ledger.read(path)
        if record is None or not record.get("early") or not _is_ours(keeper, record):
            continue
        if (record["owner"]["pid"], record["owner"]["start"]) not in connected:
            # Once: while it is being buried, the record is still there.
            keeper.early_seen.add(path)
            keeper.orphans[path] = record


def _is_ours(keeper: Keeper, record: dict[str, Any]) -> bool:
    """Whether this keeper follows the one that wrote ``record``.

    Only one keeper at a time lives at a root, so what names our root is ours. What names a root that is no more
    belongs to nobody. Processes of another pid namespace cannot be judged from here.
    """
    same_boot = record["boot"] == keeper.place["boot"]
    if same_boot and record["namespace"] != keeper.place["namespace"]:
        return False
    return record["keeper"] == keeper.root or not os.path.isdir(record["keeper"])


def _take_over_nameless(keeper: Keeper, root: str, directory: str) -> None:
    # A claim comes before the directory and the record before the claim's end: this one was half removed.
    claimed = {
        path
        for file in ledger.claim_files(root)
        for path in (ledger.read(file) or {}).get("paths", ())
    }
    claimed |= {path for connection in keeper.connections.values() for path in connection.claims}
    if root == keeper.root and directory not in claimed:
        keeper.bury([directory], then=lambda _: None)


def _take_over_server(keeper: Keeper, server: Server, record: dict[str, Any]) -> None:
    keeper.servers[server.id] = server
    server.adopted = True
    same_boot = record["boot"] == keeper.place["boot"]
    if not same_boot or not identity.is_alive(server.pid, server.started):
        server.state, server.killed = ENDING, True
        keeper.bury_server(server)
        return
    keeper.watch(server)
    if server.state != WARM:
        server.state = ORPHANED
    faultpoint("adoption.watched")
    keeper.note(server)


def check_orphans(keeper: Keeper) -> None:
    """End and remove what belongs to owners that died, where the system cannot tell us of their death."""
    for server in tuple(keeper.servers.values()):
        unwatched = server.adopted and server.handle < 0 and server.pid > 0
        if unwatched and not identity.is_alive(server.pid, server.started):
            keeper.died(server, None)
        elif server.state == ORPHANED and not _lives(server.former):
            keeper.abandon(server)
    for path, record in tuple(keeper.orphans.items()):
        if not _lives(record["owner"]):
            del keeper.orphans[path]
            keeper.bury(record["paths"], then=forgetting(path))


def forgetting(path: str) -> Callable[[list[str]], None]:
    """Return what strikes a claim out once its paths are gone; what could not be removed is left to the next keeper."""
    return lambda left: None if left else ledger.forget(path)


def _lives(owner: dict[str, Any]) -> bool:
    return identity.is_alive(owner.get("pid", 0), owner.get("start", ""))
