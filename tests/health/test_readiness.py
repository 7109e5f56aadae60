"""The endpoint of ``freshpg up --health-port``: ready or not, and nothing else."""

import http.client
import json
import socket
import threading

import pytest

from freshpg.errors import UsageInvalid
from freshpg.health.checks import Check, Health
from freshpg.status.readiness import Readiness

GOOD, BAD = Health((Check("server", "good", ""),)), Health((Check("server", "bad", "gone"),))


@pytest.fixture(scope="module")
def running():
    state = [GOOD]
    readiness = Readiness(lambda: state[0], 0)
    thread = threading.Thread(target=readiness.serve)
    thread.start()
    yield readiness, state
    readiness.close()
    thread.join()


@pytest.fixture
def served(running):
    """An endpoint that runs, and a way to say how it is."""
    running[1][0] = GOOD
    return running


def ask(readiness, method="GET", path="/", **headers):
    port = int(readiness.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/ready?verbose=1"])
def test_200_when_all_is_well_and_503_when_not(served, path):
    readiness, state = served
    status, body, headers = ask(readiness, path=path)
    assert (status, json.loads(body)["ok"]) == (200, True)
    assert headers["Content-Type"] == "application/json"

    state[0] = BAD
    status, body, _ = ask(readiness, path=path)
    assert (status, json.loads(body)["checks"][0]["text"]) == (503, "gone")


@pytest.mark.parametrize("path", ["/metrics", "/health/../etc/passwd", "/healthz", "/%2e"])
def test_other_paths_are_not_found(served, path):
    assert ask(served[0], path=path)[0] == 404


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"]
)
def test_other_methods_are_not_allowed(served, method):
    status, _, headers = ask(served[0], method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_says_the_same_without_a_body(served):
    status, body, headers = ask(served[0], method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_it_listens_on_loopback_alone_and_tells_nothing_of_itself(served):
    readiness, _ = served
    assert readiness._server.server_address[0] == "127.0.0.1"
    assert "Python" not in ask(readiness)[2]["Server"]


def test_a_page_led_here_by_its_own_dns_is_refused(served):
    readiness, _ = served
    port = readiness.url.rstrip("/").rpartition(":")[2]
    assert ask(readiness, Host="evil.example")[0] == 403
    assert ask(readiness, Host=f"evil.example:{port}")[0] == 403
    for name in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]", f"[::1]:{port}"):
        assert ask(readiness, Host=name)[0] == 200, name


def test_a_client_that_says_nothing_keeps_nobody_waiting(served):
    readiness, _ = served
    with socket.create_connection(readiness._server.server_address):
        assert ask(readiness)[0] == 200


def test_a_port_that_is_taken_is_told(served):
    port = served[0]._server.server_address[1]
    with pytest.raises(UsageInvalid, match="endpoint for health"):
        Readiness(lambda: GOOD, port)
