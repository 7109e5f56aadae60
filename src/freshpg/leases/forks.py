"""Connections that a forked child must not keep: a copy of the socket would hold the lease as long as the child lives."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin


class Owned(Protocol):
    """What owns connections and can disown them in a child."""

    def disown(self) -> None:
        """Let go of every socket without a word to the server: the parent goes on using it."""


_owners: weakref.WeakSet[Owned] = weakref.WeakSet()


def disown_in_children(owner: Owned) -> None:
    """Call ``owner.disown()`` in every child forked from now on."""
    _owners.add(owner)


def abandon(admin: Admin) -> None:
    """In a child: close a copy of a connection without a word to the server.

    ``/dev/null`` takes the place of the socket first, so that the driver's goodbye goes nowhere.
    """
    if not admin.closed:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(null, admin.connection.pgconn.socket)
        finally:
            os.close(null)
    # Whatever state a thread of the parent left it in: the child has no use for it.
    with suppress(Exception):
        admin.close()


def _disown_all() -> None:
    for owner in tuple(_owners):
        owner.disown()


os.register_at_fork(after_in_child=_disown_all)
