"""Every test has a system database and workspaces of its own."""

import logging

import pytest


def write(client, body):
    return client.post("/notes", {"body": body}, content_type="application/json")


def test_a_note_is_kept(acme):
    assert write(acme, "buy milk").status_code == 201

    assert acme.get("/notes").json() == ["buy milk"]


def test_a_workspace_sees_its_own_notes_only(acme, client):
    globex = client("globex")
    globex.post("/workspaces", {"name": "globex"}, content_type="application/json")
    write(acme, "secret")

    assert globex.get("/notes").json() == []


@pytest.fixture
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, "django.request")


def test_what_a_failed_request_wrote_is_rolled_back(acme, quiet):
    assert write(acme, "why?").status_code == 500

    assert acme.get("/notes").json() == []


def test_an_unknown_workspace_is_not_found(client, quiet):
    assert client("nobody").get("/notes").status_code == 404


def test_a_workspace_whose_database_is_not_there_yet_is_busy(client, pg_tenants, quiet):
    with pg_tenants.system() as connection:
        connection.execute("INSERT INTO workspace VALUES ('late')")

    assert client("late").get("/notes").status_code == 503
