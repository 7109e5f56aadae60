"""SQLAlchemy: engines kept from test to test, sessions, and an application's own factories pointed at a test database."""

from __future__ import annotations

from freshpg.drivers.refusals import require_installed

require_installed("sqlalchemy", "freshpg[sqlalchemy]", "SQLAlchemy")

from freshpg.drivers.sqlalchemy.engines import async_engine, engine  # noqa: E402 (what misses is said first)
from freshpg.drivers.sqlalchemy.factory import TestSessionFactory  # noqa: E402
from freshpg.drivers.sqlalchemy.rebinding import rebind  # noqa: E402
from freshpg.drivers.sqlalchemy.settings import SessionSettings  # noqa: E402

__all__ = ["SessionSettings", "TestSessionFactory", "async_engine", "engine", "rebind"]
