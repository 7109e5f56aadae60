"""Django on pools of the test, and a client for each workspace."""

import os

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
django.setup()

from django.test import Client  # noqa: E402 (Django must know its settings first)
from notes import pools  # noqa: E402


@pytest.fixture(autouse=True)
def pools_of_the_test(pg_tenants, monkeypatch):
    """Let the application use databases that belong to the test."""
    monkeypatch.setattr(pools, "pools", lambda: pg_tenants)


@pytest.fixture
def client():
    """Return a maker of clients: ``client("acme")`` speaks for the workspace ``acme``."""

    def speak_for(workspace):
        return Client(headers={"host": f"{workspace}.notes.example"}, raise_request_exception=False)

    return speak_for


@pytest.fixture
def acme(client):
    """A client of the workspace ``acme``, which exists."""
    speaker = client("acme")
    made = speaker.post("/workspaces", {"name": "acme"}, content_type="application/json")
    assert made.status_code == 201
    return speaker
