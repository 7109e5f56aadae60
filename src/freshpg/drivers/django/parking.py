"""Between two tests that commit, Django closes its connections; here their server sessions wait, as good as new.

To connect takes milliseconds, most of them for a new server process. ``DISCARD ALL`` gives the old one the state of a
new one (https://www.postgresql.org/docs/current/sql-discard.html); Django then sets it up again as after any connect,
receivers of ``connection_created`` included.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

from django.db.backends.postgresql.psycopg_any import is_psycopg3


class Parking:
    """Closes connections of Django's for Django, and gives their sessions back when it connects again."""

    def __init__(self) -> None:
        self._waiting: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def close(self, wrapper: Any) -> None:
        """Close a connection for Django; keep its session if that can be made as good as new."""
        raw = wrapper.connection
        if raw is None or not _can_wait(wrapper) or not _discard(raw):
            wrapper.close()
            return
        wrapper.run_on_commit = []
        wrapper.connection = None
        self._waiting[wrapper] = raw
        address = wrapper.get_connection_params()

        def get_new_connection(params: dict[str, Any]) -> Any:
            """Connect: with the session that waits, if that is still the one to be had."""
            del wrapper.get_new_connection
            waiting = self._waiting.pop(wrapper, None)
            if waiting is not None and params == address and _stands(waiting):
                return waiting
            _end(waiting)
            return wrapper.get_new_connection(params)

        wrapper.get_new_connection = get_new_connection

    def clear(self) -> None:
        """End the sessions that wait."""
        while self._waiting:
            _, raw = self._waiting.popitem()
            _end(raw)


def _can_wait(wrapper: Any) -> bool:
    # A pool has its own way; prepared statements would be dropped unknown to psycopg.
    return (
        is_psycopg3
        and not wrapper.pool
        and not wrapper.in_atomic_block
        and not wrapper.closed_in_transaction
        and wrapper.connection.prepare_threshold is None
        and _stands(wrapper.connection)
    )


def _stands(raw: Any) -> bool:
    from psycopg.pq import TransactionStatus

    return not raw.closed and raw.info.transaction_status == TransactionStatus.IDLE


def _discard(raw: Any) -> bool:
    import psycopg

    try:
        raw.autocommit = True
        raw.execute("DISCARD ALL")
    except psycopg.Error:
        return False
    return True


def _end(raw: Any) -> None:
    if raw is not None:
        with suppress(Exception):
            raw.close()
