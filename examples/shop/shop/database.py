"""Engines: one for the web application, one for the back office."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shop.settings import Settings


def web_engine(settings: Settings) -> AsyncEngine:
    """Return the web application's engine. A purchase must not see half of another one."""
    return create_async_engine(
        settings.url_for("asyncpg"),
        isolation_level="SERIALIZABLE",
        pool_size=settings.pool_size,
        max_overflow=0,
    )


def office_engine(settings: Settings) -> Engine:
    """Return the back office's engine: short changes by hand, long reports."""
    return create_engine(settings.url_for("psycopg"), pool_size=2, max_overflow=3)
