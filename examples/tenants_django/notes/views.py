"""Notes: a workspace has a database of its own, and no query ever says which."""

import json
import re

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.http import require_http_methods, require_POST

from notes import pools


@require_POST
def workspaces(request: HttpRequest) -> HttpResponse:
    """Make a workspace; again is fine."""
    name = json.loads(request.body)["name"]
    if not re.fullmatch("[a-z][a-z0-9-]{0,30}", name):
        return HttpResponseBadRequest("a workspace is called by letters, digits and hyphens")
    with pools.pools().system() as connection:
        connection.execute("INSERT INTO workspace VALUES (%s) ON CONFLICT DO NOTHING", (name,))
    pools.pools().ensure_database(name)
    return HttpResponse(status=201)


@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    """List the notes of the request's workspace, or add one."""
    if request.method == "POST":
        body = json.loads(request.body)["body"]
        request.workspace.execute("INSERT INTO note (body) VALUES (%s)", (body,))
        if "?" in body:
            raise RuntimeError("notes ask no questions")
        return HttpResponse(status=201)
    found = request.workspace.execute("SELECT body FROM note ORDER BY id").fetchall()
    return JsonResponse([body for (body,) in found], safe=False)
