"""A project of its own for each test, and the command in two forms: in this process, and as a user starts it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from freshpg.cli import main

SCHEMA = "CREATE TABLE customer (id int PRIMARY KEY, name text);\nINSERT INTO customer VALUES (1, 'Ada');\n"
SETTINGS = """\
[tool.freshpg]
linger = 0

[tool.freshpg.databases.main]
name = "shop_test"
migrations = ["schema.sql"]
"""
PATIENCE = 50.0


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with settings and a schema; commands run there."""
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "pyproject.toml").write_text(SETTINGS)
    (directory / "schema.sql").write_text(SCHEMA)
    monkeypatch.chdir(directory)
    for name in ("NO_COLOR", "FORCE_COLOR", "DATABASE_URL", "FRESHPG_URL", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("FRESHPG_LINGER", raising=False)
    yield directory
    # Whatever a test left up ends with it; other projects' servers stay.
    main(["down", "--force"])


@pytest.fixture
def command(project):
    """Start the command in a process of its own, and give it back while it runs."""
    started = []

    def start(*words, **options):
        process = subprocess.Popen(
            [sys.executable, "-m", "freshpg", *words],
            cwd=project,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **options.pop("env", {})},
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def freshpg(command):
    """Run the command as a user does and return how it ended."""

    def run(*words, typed=None, **options):
        stdin = subprocess.DEVNULL if typed is None else subprocess.PIPE
        process = command(*words, stdin=stdin, **options)
        out, err = process.communicate(typed, timeout=PATIENCE)
        return Ended(process.returncode, out, err)

    return run


@pytest.fixture
def here(project, capfd):
    """Run the command in this process: for those that start no program."""

    def run(*words):
        capfd.readouterr()
        code = main(list(words))
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return run
