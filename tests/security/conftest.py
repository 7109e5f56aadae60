"""A place where another local user can come as close as any can, and a project of ours inside it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.keeper.client import Keeper

MEMORY = Path("/dev/shm")
SCHEMA = "CREATE TABLE customer (id int PRIMARY KEY, name text);\nINSERT INTO customer VALUES (1, 'Ada');\n"


@pytest.fixture(scope="module")
def street():
    """A directory that everybody may enter and write, as /tmp is."""
    place = Path(tempfile.mkdtemp(prefix="fpgs-", dir=MEMORY if MEMORY.is_dir() else None))
    place.chmod(0o1777)
    yield place
    for root in place.glob("freshpg-*"):
        if root.is_dir() and (keeper := Keeper.find(root, roots=(root,))):
            with keeper:
                keeper.stop_all(force=True)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def stranger():
    """The number of another user of this machine."""
    if os.geteuid() != 0:
        pytest.skip("to act as another user needs root")
    return pwd.getpwnam("nobody").pw_uid


@pytest.fixture(scope="module")
def python(stranger):
    """A Python that the other user can run."""
    for program in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable):
        words = [program, "-I", "-c", "pass"]
        try:
            if (
                subprocess.run(words, check=False, user=stranger, cwd="/", timeout=20).returncode
                == 0
            ):
                return program
        except OSError:
            continue
    pytest.skip(f"there is no Python that user {stranger} can run")


@pytest.fixture(scope="module")
def as_stranger(stranger, python):
    """Run a script as the other user, in no group of ours; return what it printed."""

    def run(script, *words):
        return subprocess.run(
            [python, "-I", "-c", script, *map(str, words)],
            user=stranger,
            group=stranger,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    return run


@pytest.fixture(scope="module")
def at_home(street):
    """Variables that lead freshpg to the street and nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("FRESHPG_", "PG"))]:
            patch.delenv(name)
        patch.setenv("FRESHPG_RUNTIME", str(street))
        patch.setenv("FRESHPG_CACHE", str(street / "cache"))
        patch.setenv("CI", "true")
        yield patch


def make_manager(directory, **changes):
    (directory / "schema.sql").write_text(SCHEMA)
    databases = {"main": {"name": "secure_test", "migrations": ["schema.sql"]}}
    return DatabaseManager(Settings(root=directory, databases=databases, **{"stock": 1, **changes}))
