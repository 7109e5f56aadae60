"""A Django project with two databases, tested by ``manage.py test`` and by pytest-django, each in a process of its own."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("django")

collect_ignore = ["project"]
PROJECT = Path(__file__).parent / "project"
PATIENCE = 150.0
# What belongs to the run around us must not reach the run inside. FRESHPG_* may: it chooses place and server.
OURS = ("COV_", "DJANGO_", "PG", "PYTEST_")
COMMAND = (sys.executable, "manage.py", "test", "-v", "2")
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:pytest_postgresql")
WORDS = {"ok": "passed", "expected failure": "xfailed", "FAIL": "failed", "ERROR": "failed"}


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    output: str
    tests: Mapping[str, str] = field(default_factory=dict)


class Project:
    """A copy of the project, and ways to test it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def settings(self, text: str) -> None:
        """Let settings of Django end with this."""
        with (self.root / "library" / "settings.py").open("a") as stream:
            stream.write(f"\n{text}\n")

    def manage_test(self, *options: str, **variables: str) -> Outcome:
        """Run ``manage.py test``."""
        exit_code, output = self._run(*COMMAND, *options, **variables)
        found = re.findall(r"^\w+ \(([\w.]+)\)(?: \.\.\. |\n.* \.\.\. )(.*)$", output, re.MULTILINE)
        tests = {name: WORDS.get(said, said.partition(" ")[0]) for name, said in found}
        return Outcome(exit_code, output, tests)

    def pytest(self, *options: str, **variables: str) -> Outcome:
        """Run pytest with pytest-django."""
        report = self.root / "report.xml"
        exit_code, output = self._run(*PYTEST, f"--junitxml={report}", *options, **variables)
        cases = ET.parse(report).iter("testcase") if report.exists() else ()
        tests = {f"{case.get('classname')}.{case.get('name')}": _said(case) for case in cases}
        return Outcome(exit_code, output, tests)

    def _run(self, *command: str, **variables: str) -> tuple[int, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
            # A test may kill all of its group.
            start_new_session=True,
        )
        return done.returncode, done.stdout


def _said(case: ET.Element) -> str:
    for child in case:
        if child.tag == "skipped":
            return "xfailed" if child.get("type") == "pytest.xfail" else "skipped"
        if child.tag in {"failure", "error"}:
            return "failed"
    return "passed"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of the project."""
    leave_out = shutil.ignore_patterns("__pycache__")
    return Project(shutil.copytree(PROJECT, tmp_path / "project", ignore=leave_out))


@pytest.fixture
def until_gone() -> Callable[[], list[str]]:
    """Wait for servers, sockets and directories to go; return what is left when they do not."""
    root = Path(os.environ["FRESHPG_RUNTIME"])

    def look() -> list[str]:
        places = [
            place for pattern in ("freshpg-*", "gw*/freshpg-*") for place in root.glob(pattern)
        ]
        shelves = [shelf for place in places for shelf in place.iterdir()]
        left = [one for shelf in shelves if shelf.is_dir() for one in shelf.iterdir()]
        return [str(one) for one in (*left, *(one for one in shelves if one.is_socket()))]

    def wait() -> list[str]:
        never, end = threading.Event(), time.monotonic() + 10.0
        while look() and time.monotonic() < end:
            never.wait(0.02)
        return look()

    return wait
