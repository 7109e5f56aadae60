"""Notes: a workspace has a database of its own, and no query ever says which."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from freshpg import AsyncTenantPools
from freshpg.errors import TenantDatabaseMissing, TenantLimitExceeded

from .middleware import WorkspaceMiddleware


class NewNote(BaseModel):
    """What is posted."""

    body: str = Field(min_length=1)


class NewWorkspace(BaseModel):
    """What is posted."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,30}$")


async def workspace(request: Request) -> AsyncIterator[AsyncConnection[Any]]:
    """Lend a connection to the workspace of the request: committed at its end, rolled back on an error."""
    async with request.app.state.pools.tenant(request.state.workspace) as connection:
        yield connection


# Ended before the answer is sent: whoever reads "created" finds what he made.
Workspace = Annotated[AsyncConnection[Any], Depends(workspace, scope="function")]


def create_app(pools: AsyncTenantPools) -> FastAPI:
    """Return the application on these pools; it opens and closes them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pools:
            yield

    app = FastAPI(lifespan=lifespan)
    app.state.pools = pools
    app.add_middleware(WorkspaceMiddleware, pools=pools)

    @app.post("/workspaces", status_code=201)
    async def create_workspace(new: NewWorkspace) -> None:
        async with pools.system() as connection:
            await connection.execute(
                "INSERT INTO workspace VALUES (%s) ON CONFLICT DO NOTHING", (new.name,)
            )
        await pools.ensure_database(new.name)

    @app.post("/notes", status_code=201)
    async def create_note(new: NewNote, connection: Workspace) -> int:
        cursor = await connection.execute(
            "INSERT INTO note (body) VALUES (%s) RETURNING id", (new.body,)
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    @app.get("/notes")
    async def list_notes(connection: Workspace) -> list[str]:
        cursor = await connection.execute("SELECT body FROM note ORDER BY id")
        return [body for (body,) in await cursor.fetchall()]

    @app.exception_handler(TenantLimitExceeded)
    async def busy(_: Request, __: Exception) -> PlainTextResponse:
        return PlainTextResponse("busy, try again", 503, {"Retry-After": "1"})

    @app.exception_handler(TenantDatabaseMissing)
    async def missing(_: Request, __: Exception) -> PlainTextResponse:
        return PlainTextResponse("this workspace is not ready yet", 503, {"Retry-After": "5"})

    return app
