"""What to tell whoever asked the keeper in vain; ``who`` is its root and its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freshpg.core.errors import KeeperFailed, KeeperGone, KeeperRefused

if TYPE_CHECKING:
    from collections.abc import Mapping


def gone(verb: str, who: str) -> KeeperGone:
    """Return the error of a connection that ended."""
    return KeeperGone(
        f"the keeper was asked to {verb}",
        on=who,
        seen="the connection ended",
        todo=("run again: a new keeper starts and clears up after the old one",),
    )


def late(verb: str, who: str, seconds: float) -> KeeperFailed:
    """Return the error of an answer that did not come in ``seconds``."""
    return KeeperFailed(
        f"the keeper was asked to {verb}",
        on=who,
        seen=f"no answer within {seconds:g} s",
        todo=("look whether the machine is overloaded or the keeper stopped (SIGSTOP)",),
    )


def refused(verb: str, who: str, reply: Mapping[str, Any]) -> KeeperRefused:
    """Return the error that the keeper answered with."""
    return KeeperRefused(
        f"the keeper was asked to {verb}",
        on=who,
        seen=reply["seen"],
        kind=reply["error"],
        errno=reply.get("errno"),
    )
