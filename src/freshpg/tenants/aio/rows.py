"""One statement on a leased connection, for tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freshpg.tenants.aio.opening import Connection


async def row_of(connection: Connection, query: Any, params: Any) -> Any:
    """Run one query; return its first row, or ``None``."""
    return await (await connection.execute(query, params)).fetchone()


async def rows_of(connection: Connection, query: Any, params: Any) -> list[Any]:
    """Run one statement; return its rows, none where it returns none."""
    cursor = await connection.execute(query, params)
    return await cursor.fetchall() if cursor.description else []
