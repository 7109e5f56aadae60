"""One statement on a leased connection, for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg.tenants.opening import Connection


def row_of(connection: Connection, query: Any, params: Any) -> Any:
    """Run one query; return its first row, or ``None``."""
    return connection.execute(query, params).fetchone()


def rows_of(connection: Connection, query: Any, params: Any) -> list[Any]:
    """Run one statement; return its rows, none where it returns none."""
    cursor = connection.execute(query, params)
    return cursor.fetchall() if cursor.description else []
