"""Every major version of PostgreSQL that is at hand, in a place of its own.

Found are the wheels installed and what the machine has; further directories with programs come from the variable
``MATRIX_BINDIRS``, separated as in ``PATH``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freshpg.core.errors import NoServer
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.discovery import providers_for, resolve

MAJORS = (15, 16, 17, 18)


@pytest.fixture(scope="session")
def ground(worker_id):
    place = Path(os.environ["FRESHPG_RUNTIME"]) / f"matrix-{worker_id}"
    place.mkdir(mode=0o711)
    return place


@pytest.fixture(autouse=True)
def private_places(ground, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("FRESHPG_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))
    monkeypatch.setenv("FRESHPG_CACHE", str(ground / "cache"))
    monkeypatch.setenv("CI", "true")
    further = os.environ.get("MATRIX_BINDIRS")
    if further:
        monkeypatch.setenv("PATH", further + os.pathsep + os.environ["PATH"])


@pytest.fixture(params=MAJORS)
def major(request, private_places):
    """A major version that some provider has; the others are skipped with what was tried."""
    try:
        resolve(providers_for("auto"), request.param)
    except NoServer as nobody:
        pytest.skip(" ".join(nobody.seen.split()))
    return request.param


@pytest.fixture
def make_manager(major, tmp_path):
    """Return a maker of managers on servers of one major version; all are stopped at the end."""
    made = []

    def make(**changes):
        changes = {"linger": 0, **changes}
        manager = DatabaseManager(Settings(root=tmp_path, postgres=major, **changes))
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.stop()
