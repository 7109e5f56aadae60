"""The same verbs, awaited: a thin off-load to a thread, no second engine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from freshpg import scripts as blocking
from freshpg.supervision.noting import noted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freshpg.handle import Database
    from freshpg.isolation.residue import Residue
    from freshpg.manager import DatabaseManager
    from freshpg.postgres.schema.truncation import TruncatePlan
    from freshpg.templates.migrations.base import StepSpec


async def start(manager: DatabaseManager) -> None:
    """Start a manager; see :meth:`DatabaseManager.start`."""
    await asyncio.to_thread(manager.start)


async def stop(manager: DatabaseManager) -> None:
    """Stop a manager; see :meth:`DatabaseManager.stop`."""
    await asyncio.to_thread(manager.stop)


async def reset(database: Database) -> Residue:
    """Make a database equal to its template; see :meth:`Database.reset`."""
    return await asyncio.to_thread(database.reset)


async def reset_sequences(
    database: Database, to: Literal["template", "one"] = "template"
) -> tuple[str, ...]:
    """Put sequences that moved back; see :meth:`Database.reset_sequences`."""
    return await asyncio.to_thread(database.reset_sequences, to)


async def truncate(database: Database, *tables: str, **options: Any) -> TruncatePlan:
    """Empty tables and all that reference them; see :meth:`Database.truncate`."""
    return await asyncio.to_thread(database.truncate, *tables, **options)


@asynccontextmanager
async def lease(
    manager: DatabaseManager,
    blueprint: str = "main",
    *,
    isolation: str | None = None,
    test: str = "",
) -> AsyncIterator[Database]:
    """Lend a database for an ``async with`` block; see :meth:`DatabaseManager.acquire`."""
    with noted(lambda: manager.log, test=test):
        lent = await asyncio.to_thread(manager.acquire, blueprint, isolation=isolation, test=test)
        try:
            yield lent
        finally:
            # Shielded: a cancelled task must not leave the database out.
            await asyncio.shield(asyncio.to_thread(manager.release, lent))


@asynccontextmanager
async def database(*migrations: StepSpec, **options: Any) -> AsyncIterator[Database]:
    """Lend a fresh database for an ``async with`` block; see :func:`freshpg.database`."""
    context = blocking.database(*migrations, **options)
    lent = await asyncio.to_thread(context.__enter__)
    try:
        yield lent
    finally:
        await asyncio.shield(asyncio.to_thread(context.__exit__, None, None, None))
