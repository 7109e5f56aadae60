"""Pools in a forked child: it starts with none of its parent's connections."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What holds connections and can drop them in a child."""

    def forget_parent(self) -> None:
        """In the child: start anew, and let go of every socket without a word to the server."""


_known: weakref.WeakSet[Forked] = weakref.WeakSet()
_registered = False


def start_anew_in_children(pools: Forked) -> None:
    """Call ``pools.forget_parent()`` in every child forked from now on."""
    global _registered  # noqa: PLW0603 (a handler cannot be taken back, so it is set once, on first need)
    _known.add(pools)
    if not _registered:
        _registered = True
        os.register_at_fork(after_in_child=_start_anew)


def _start_anew() -> None:
    for pools in tuple(_known):
        pools.forget_parent()
