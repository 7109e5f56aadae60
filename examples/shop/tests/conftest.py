"""One fresh database a test, and everything that connects to it."""

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from shop.api import create_app
from shop.api.app import connected
from shop.database import office_engine
from shop.feed import EventFeed
from shop.reservations import Reservations
from shop.settings import Settings

pytest_plugins = ["tests.customer", "tests.goods"]
PLAIN = os.environ.get("SHOP_TEST_MODE") == "plain"

if PLAIN:
    from tests.plain_databases import PlainDatabase, created_and_migrated

    @pytest.fixture
    def shop_db() -> Iterator[PlainDatabase]:
        """Give the test a database that was created and migrated for it."""
        with created_and_migrated() as database:
            yield database

else:

    @pytest.fixture
    def shop_db(pg):
        """Give the test a fresh database. This line is all that freshpg needs."""
        return pg


def pytest_configure(config: pytest.Config) -> None:
    """Let the marks of freshpg stand when freshpg itself is switched off (-p no:freshpg)."""
    if PLAIN:
        config.addinivalue_line("markers", "pg: freshpg's mark, without effect here")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what plain databases cannot do."""
    if PLAIN:
        left_out = [item for item in items if item.get_closest_marker("needs_freshpg")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def settings(shop_db) -> Settings:
    """Point the shop at the test's database, as its operator would."""
    return Settings(database_url=shop_db.url)


@pytest.fixture
def witness(shop_db) -> Iterator[psycopg.Connection]:
    """Open a connection of its own: it sees what others have committed, and nothing else."""
    with shop_db.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def engine(settings) -> Iterator[Engine]:
    """Open the back office's engine."""
    engine = office_engine(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine) -> sessionmaker[Session]:
    """Make back-office sessions; each ``begin()`` commits for real."""
    return sessionmaker(engine)


@pytest.fixture(scope="session")
def routes() -> FastAPI:
    """Put the web application together once: it knows no database yet."""
    return create_app()


@pytest.fixture
async def app(routes, settings) -> AsyncIterator[FastAPI]:
    """Run the web application on the test's database, with an engine and a pool of its own."""
    async with connected(routes, settings):
        yield routes


@pytest.fixture
async def http(app) -> AsyncIterator[httpx.AsyncClient]:
    """Talk to the web application as a browser does."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


@pytest.fixture
async def pool(settings) -> AsyncIterator[asyncpg.Pool]:
    """Open an asyncpg pool for what the shop does with asyncpg."""
    async with asyncpg.create_pool(settings.database_url, min_size=0, max_size=4) as pool:
        yield pool


@pytest.fixture
def feed(pool) -> EventFeed:
    """Return the event feed."""
    return EventFeed(pool)


@pytest.fixture
def reservations(pool) -> Reservations:
    """Return the reservations desk."""
    return Reservations(pool)
