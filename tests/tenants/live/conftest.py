"""A place for sockets that the test shares with nobody."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from freshpg.tenants.live.door import Door


@pytest.fixture
def place():
    """Where this test's processes show themselves; short, as paths of sockets must be."""
    directory = Path(tempfile.mkdtemp(prefix="fpgl-"))
    yield {"FRESHPG_RUNTIME": str(directory)}
    shutil.rmtree(directory)


@pytest.fixture
def home(place):
    """The directory that doors make there."""
    return Path(place["FRESHPG_RUNTIME"], f"freshpg-tenants-{os.geteuid()}")


@pytest.fixture
def door(place):
    """A door that repeats what it is asked."""
    opened = Door({"echo": lambda question: {"heard": question}}, environ=place)
    yield opened
    opened.close()
