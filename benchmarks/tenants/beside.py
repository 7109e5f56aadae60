"""The least that any pool of many tenants has to do, to measure beside ours: close the oldest connection, open another."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.tenants.town import Town


class BareConnections:
    """At most so many plain connections; whoever opens one more closes the one opened longest ago."""

    def __init__(self, town: Town, most: int) -> None:
        self._town = town
        self._most = most
        self._guard = threading.Lock()
        self._open: deque[psycopg.Connection[Any]] = deque()

    def opened(self, tenant: str) -> psycopg.Connection[Any]:
        """Make room if need be, and return a new connection."""
        with self._guard:
            oldest = self._open.popleft() if len(self._open) >= self._most else None
        if oldest is not None:
            oldest.close()
        connection = psycopg.connect(self._town.of(tenant))
        with self._guard:
            self._open.append(connection)
        return connection

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.pop().close()


@contextmanager
def bare_connections(town: Town, most: int) -> Iterator[BareConnections]:
    """Yield them, and close them in the end."""
    with closing(BareConnections(town, most)) as made:
        yield made
