"""``freshpg doctor``: figures, verdicts and remedies of what runs; and what killed runs left."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from freshpg.status.grounds import make_ground


def of_topic(found, word):
    return {one["name"]: one for one in found["findings"] if word in one["topic"]}


@pytest.mark.slow
def test_the_server_that_is_up_is_asked_for_its_health(freshpg, here, project):
    freshpg("up")

    ended = here("doctor", "--json")

    checks = of_topic(ended.json, "health of server")
    assert ended.code == 0
    assert {"socket", "server", "version", "templates", "connections", "clock"} <= checks.keys()
    assert {one["verdict"] for one in checks.values()} == {"good"}
    assert checks["connections"]["unit"] == "%"

    (project / "schema.sql").write_text("CREATE TABLE customer (id bigint);")
    stale = here("doctor", "--json")
    check = of_topic(stale.json, "health of server")["templates"]
    assert (stale.code, check["verdict"], check["good"]) == (1, "bad", False)
    assert "freshpg up" in check["remedy"]
    assert f"do: {check['remedy']}" in here("doctor").out


@pytest.fixture
def own_root(monkeypatch, tmp_path):
    """A runtime root where nothing else is started or removed."""
    monkeypatch.setenv("FRESHPG_RUNTIME", str(tmp_path))
    # What others left on this machine does not go while we wait.
    monkeypatch.setattr("freshpg.status.leftovers.PATIENCE", 0)
    root = tmp_path / f"freshpg-{os.geteuid()}"
    root.mkdir(mode=0o700)
    return root


def test_leftovers_are_named_and_fail_and_what_lives_is_not(here, own_root):
    named = {one["name"] for one in here("doctor", "--leftovers", "--json").json["leftovers"]}
    assert not any(str(own_root) in name for name in named)

    left = own_root / "servers" / "0123456789abcdef"
    left.mkdir(parents=True)
    ended = here("doctor", "--leftovers", "--json")
    assert ended.code == 1
    assert str(left) in {one["name"] for one in ended.json["leftovers"]}
    assert str(left) in here("doctor", "--leftovers").out
    assert (
        of_topic(here("doctor", "--json").json, "health")["stale objects"]["verdict"] == "warning"
    )


def test_the_place_of_a_running_demo_is_no_leftover_and_that_of_an_unknown_one_is(
    here, own_root, monkeypatch
):
    monkeypatch.setattr("freshpg.status.grounds._MEMORY", own_root.parent)
    running, unknown = make_ground(), make_ground()
    (unknown / "owner.json").unlink()

    named = {one["name"] for one in here("doctor", "--leftovers", "--json").json["leftovers"]}

    assert {str(running), str(unknown)} & named == {str(unknown)}


@pytest.mark.slow
def test_a_server_that_is_up_is_no_leftover(freshpg, here):
    freshpg("up")
    directory = Path(here("status", "--json").json["servers"][0]["directory"])

    named = here("doctor", "--leftovers", "--json").json["leftovers"]

    assert directory.exists()
    assert [
        one for one in named if str(directory.parent.parent) in f"{one['name']} {one['detail']}"
    ] == []


@pytest.mark.slow
def test_up_stays_and_answers_whether_it_is_ready(command, here, project):
    process = command("up", "--health-port", "0")
    said = iter(process.stderr.readline, "")
    url = next(line.split()[1] for line in said if line.startswith("health: "))

    def ready():
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, json.load(answer)["ok"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["ok"]

    assert ready() == (200, True)
    schema = (project / "schema.sql").read_text()
    (project / "schema.sql").write_text(schema + "CREATE TABLE later (id int);")
    assert ready() == (503, False)
    (project / "schema.sql").write_text(schema)
    assert ready() == (200, True)
    here("down")
    assert ready() == (503, False)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_health_port_that_is_taken_starts_nothing(here):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = here("up", "--health-port", str(taken.getsockname()[1]))
    assert (ended.code, here("status", "--json").json["servers"]) == (2, [])
