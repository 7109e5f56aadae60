"""Whose request is it? The first label of the host says: ``acme.notes.example`` is workspace ``acme``."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotFound

from freshpg.errors import TenantDatabaseMissing, TenantLimitExceeded
from notes import pools

KNOWN = "SELECT EXISTS (SELECT FROM workspace WHERE name = %s)"
Handler = Callable[[HttpRequest], HttpResponse]


class WorkspaceMiddleware:
    """Gives a request of a known workspace its connection: ``request.workspace``, one transaction a request."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/notes"):
            return self.handle(request)
        name = request.get_host().partition(".")[0]
        if not _is_known(name):
            return HttpResponseNotFound("no such workspace")
        try:
            with pools.pools().tenant(name) as connection:
                request.workspace = connection
                response = self.handle(request)
                # Django has turned what a view raised into an answer by now.
                if response.status_code >= 500:
                    connection.rollback()
                return response
        except (TenantLimitExceeded, TenantDatabaseMissing):
            return HttpResponse("busy, try again", status=503, headers={"Retry-After": "1"})


def _is_known(name: str) -> bool:
    # Given back at once: a request that waits for its own database must not hold one of the system's.
    with pools.pools().system() as connection:
        row = connection.execute(KNOWN, (name,)).fetchone()
    return row is not None and bool(row[0])
