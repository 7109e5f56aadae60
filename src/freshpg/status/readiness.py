"""Health over HTTP, for whoever waits until a stack is ready: on 127.0.0.1 alone, and nothing but that."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.health.checks import Health

ADDRESS = "127.0.0.1"
PATHS = frozenset({"/", "/health", "/ready"})
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names by which a client may call us; with another, a page in a browser would be led here by its own DNS."""
CLIENT_SECONDS = 5.0


class Readiness:
    """An HTTP endpoint: 200 when ``ask`` finds nothing bad, else 503, with all checks as JSON.

    Raises:
        UsageInvalid: The port cannot be had.
    """

    def __init__(self, ask: Callable[[], Health], port: int) -> None:
        self._ask = ask
        self._one_at_a_time = threading.Lock()
        try:
            self._server = _Server((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageInvalid(
                "an endpoint for health was to be opened",
                on=f"{ADDRESS}:{port}",
                seen=str(error),
                todo=("give another port, or 0 for one that is free",),
            ) from None
        self._server.answer = self.answer

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{ADDRESS}:{self._server.server_address[1]}/"

    def answer(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return the status and the body of an answer."""
        with self._one_at_a_time:
            health = self._ask()
        return HTTPStatus.OK if health else HTTPStatus.SERVICE_UNAVAILABLE, health.to_json()

    def serve(self) -> None:
        """Answer until :meth:`close` is called from another thread, or an interrupt."""
        try:
            self._server.serve_forever()
        finally:
            self._server.server_close()

    def close(self) -> None:
        """End :meth:`serve`."""
        self._server.shutdown()

    def give_up(self) -> None:
        """Give the port back without ever having served."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[], tuple[HTTPStatus, dict[str, Any]]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left in the middle."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS
    server_version, sys_version = "freshpg", ""

    def __getattr__(self, name: str) -> Any:
        # The base class looks a method up by its name, and knows no other way to say 405.
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def do_GET(self) -> None:
        """Answer with the health."""
        host = self.headers.get("Host", "").rpartition(":")
        named = (host[0] if host[2].isdigit() else "".join(host)) or "localhost"
        if named not in HOSTS:
            self._say(HTTPStatus.FORBIDDEN, {"error": "not called by a name of this machine"})
        elif self.path.partition("?")[0] not in PATHS:
            self._say(HTTPStatus.NOT_FOUND, {"error": "there is only /"})
        else:
            self._say(*self.server.answer())

    do_HEAD = do_GET  # noqa: N815 (named by the base class)

    def _refuse_method(self) -> None:
        self._say(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET and HEAD"})

    def _say(self, status: HTTPStatus, data: dict[str, Any]) -> None:
        body = json.dumps(data, indent=2).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (named by the base class)
        """Stay silent: who asks is asked of nobody."""
