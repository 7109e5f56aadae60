"""Runs an example the way its reader would: in a copy, in a process of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent
# What belongs to the run around us must not reach the run inside. FRESHPG_* may: it chooses the server.
OURS = ("COV_", "DJANGO_", "PG", "PYTEST_", "SHOP_")
PATIENCE = 180.0
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
# Plugins that may be installed beside us and are no part of the examples.
PYTEST += ("-p", "no:django", "-p", "no:pytest_postgresql")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """Tests by what became of them, as pytest's last line tells."""
        words = re.findall(r"(\d+) (passed|failed|errors?|skipped|deselected)", self.output)
        return {word: int(count) for count, word in words}


@pytest.fixture
def example(tmp_path) -> Callable[[str], Path]:
    """Copy an example and return where the copy is."""

    def copy(name: str) -> Path:
        leave_out = shutil.ignore_patterns("__pycache__", "node_modules", ".*_cache")
        return shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=leave_out)

    return copy


@pytest.fixture
def run() -> Callable[..., Outcome]:
    """Run a command in a directory, as from a shell that was just opened."""

    def run_it(directory: Path, *command: str, **variables: str) -> Outcome:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        search_path = os.pathsep.join([str(BIN), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=directory,
            env=kept | {"PYTHONDONTWRITEBYTECODE": "1", "PATH": search_path} | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    return run_it


@pytest.fixture
def run_pytest(run) -> Callable[..., Outcome]:
    """Run pytest in a directory."""

    def run_it(directory: Path, *options: str, **variables: str) -> Outcome:
        return run(directory, *PYTEST, *options, **variables)

    return run_it


@pytest.fixture
def start_of_pytest() -> tuple[str, ...]:
    """Return the words that start pytest, for a command that starts it in turn."""
    return PYTEST
