"""The application on pools of the test, and a client for each workspace."""

from contextlib import AsyncExitStack

import httpx
import pytest
from notes.app import create_app


@pytest.fixture
async def client(pg_tenants_async):
    """Return a maker of clients: ``await client("acme")`` speaks for the workspace ``acme``."""
    app = create_app(pg_tenants_async)
    async with AsyncExitStack() as stack:

        async def speak_for(host):
            transport = httpx.ASGITransport(app=app)
            base = f"http://{host}.notes.example"
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url=base)
            )

        yield speak_for


@pytest.fixture
async def acme(client):
    """A client of the workspace ``acme``, which exists."""
    speaker = await client("acme")
    assert (await speaker.post("/workspaces", json={"name": "acme"})).status_code == 201
    return speaker
