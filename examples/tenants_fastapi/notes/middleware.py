"""Whose request is it? The first label of the host says: ``acme.notes.example`` is workspace ``acme``."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from freshpg import AsyncTenantPools

KNOWN = "SELECT EXISTS (SELECT FROM workspace WHERE name = %s)"


class WorkspaceMiddleware:
    """Lets requests of known workspaces through, with the name in ``request.state.workspace``.

    A host is what somebody typed: only the system database knows which workspaces there are, so no request ever
    chooses a database by itself.
    """

    def __init__(self, app: ASGIApp, pools: AsyncTenantPools) -> None:
        self.app = app
        self.pools = pools

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/notes"):
            name = (Request(scope).url.hostname or "").partition(".")[0]
            if not await self._is_known(name):
                await PlainTextResponse("no such workspace", 404)(scope, receive, send)
                return
            scope.setdefault("state", {})["workspace"] = name
        await self.app(scope, receive, send)

    async def _is_known(self, name: str) -> bool:
        # Given back at once: a request that waits for its own database must not hold one of the system's.
        async with self.pools.system() as connection:
            row = await (await connection.execute(KNOWN, (name,))).fetchone()
        return row is not None and bool(row[0])
