"""Puts the application together: engine, feed, routes, errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import async_sessionmaker

from shop.api import carts, catalog, customers, events, orders
from shop.api.transactions import Transactions
from shop.database import web_engine
from shop.errors import ShopError
from shop.feed import EventFeed
from shop.settings import Settings


def create_app() -> FastAPI:
    """Return the application: ``uvicorn --factory shop.api:create_app`` serves it.

    It reads its settings and connects when it starts, and disconnects when it stops.
    """
    app = FastAPI(title="Shop", lifespan=lambda app: connected(app, Settings.from_environment()))
    for routes in (catalog, customers, carts, orders, events):
        app.include_router(routes.router)
    app.add_exception_handler(ShopError, tell_customer)
    return app


@asynccontextmanager
async def connected(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Let the application hold an engine and a pool of its own for as long as it runs."""
    engine = web_engine(settings)
    async with asyncpg.create_pool(settings.database_url, min_size=0, max_size=3) as pool:
        app.state.transactions = Transactions(async_sessionmaker(engine, expire_on_commit=False))
        app.state.feed = EventFeed(pool)
        yield
    await engine.dispose()


async def tell_customer(_: Request, error: Exception) -> JSONResponse:
    """Turn the shop's own errors into answers."""
    if not isinstance(error, ShopError):
        raise error
    return JSONResponse({"code": error.code, "detail": str(error)}, error.status)
