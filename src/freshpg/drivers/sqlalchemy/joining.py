"""Connecting as ``db.connect()`` does where all connections of a test are one session (isolation ``rollback``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

    from freshpg.handle import Database


def join_session(
    dialect: Dialect,
    database: Database,
    driver: str,
    arguments: dict[str, Any],
    *,
    asynchronous: bool,
) -> Any:
    """Return a DBAPI connection for an engine; ``arguments`` are what its dialect would connect with."""
    if driver == "asyncpg":
        from freshpg.drivers.asyncpg import connect

        return dialect.connect(async_creator_fn=lambda **_: connect(database))
    # SQLAlchemy's own types for psycopg.
    options = {"context": arguments["context"]} if "context" in arguments else {}
    if asynchronous:
        return dialect.connect(async_creator_fn=database.aconnect, **options)
    return database.connect(**options)
