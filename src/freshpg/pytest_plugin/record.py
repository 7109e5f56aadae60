"""The record of a run: which tests have finished, so that ``--pg-resume`` can take an interrupted one up.

One file a run, ``.freshpg/runs/<selection>-<pid>-….jsonl``, written by the one process that sees every report; locked
while that process lives, so that a file nobody has locked is a run that was interrupted. A run that comes to its end
removes it.

A test that passed is left out of the next run when nothing it is made of has changed: its file, every ``conftest.py``
above it, the settings, and, where databases were in use, all that the blueprints read. What the code under test has
become is not asked: nobody can know which tests it concerns.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from freshpg.pytest_plugin.run import Run

FORMAT = 1

MOST_INTERRUPTED = 5
"""Interrupted runs remembered; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What an interrupted run came to: what a test was made of when it passed, by its id."""

    path: Path
    begun: float
    passed: dict[str, str]


class Prints:
    """Fingerprints of what tests are made of, each read once."""

    def __init__(self, run: Run, *, until: float = float("inf")) -> None:
        self._root = run.config.rootpath
        self._run = run
        self._until = until
        self.of_file = cache(self._of_file)
        self.of_blueprints = cache(self._of_blueprints)

    def of_test(self, nodeid: str, *, database: bool) -> str:
        """Return the fingerprint of a test; empty when it cannot be told, or changed since the run began."""
        parts = [self.of_file(nodeid.partition("::")[0])]
        if database:
            parts.append(self.of_blueprints())
        return ".".join(parts) if all(parts) else ""

    def _of_file(self, name: str) -> str:
        path = self._root / name
        above = [path.parent, *path.parent.parents]
        digest = hashlib.sha256()
        try:
            for one in (path, *(place / "conftest.py" for place in above)):
                if one == path or one.is_file():
                    # What ran was read before.
                    if one.stat().st_mtime > self._until:
                        return ""
                    digest.update(hashlib.sha256(one.read_bytes()).digest())
        except OSError:
            return ""
        return digest.hexdigest()[:16]

    def _of_blueprints(self) -> str:
        from freshpg.core.settings import load_settings
        from freshpg.provision.plans import Plans, blueprints_of
        from freshpg.pytest_plugin.options import overrides_of

        try:
            settings = load_settings(
                self._run.settings_begin,
                environment=os.environ,
                overrides=overrides_of(self._run.config),
            )
            blueprints = blueprints_of(settings, ()).values()
        except FreshpgError:
            return ""
        plans = Plans.read(blueprints, build="", check=lambda _: None)
        facts = (*plans.determining, *sorted(plans.bad), settings.isolation, settings.server)
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


class Record:
    """Writes down which tests of a run have finished.

    A record that cannot be written is no reason to fail: there is nothing to resume then.

    Args:
        run: Whose record.
        directory: Made with the first line.
        begun: When the run began, in seconds since the epoch.
    """

    def __init__(self, run: Run, directory: Path, *, begun: float) -> None:
        self._prints = Prints(run, until=begun)
        self._selection = selection_of(run)
        self._directory = directory
        self._path = directory / f"{self._selection}-{os.getpid()}-{begun:.6f}.jsonl"
        self._head = {"v": FORMAT, "begun": begun, "root": str(run.config.rootpath)}
        self._file = -1
        self._dead = False
        self._failed: set[str] = set()

    def carry_over(self, interrupted: Interrupted, passed: Mapping[str, str]) -> None:
        """Begin with the tests of an interrupted run that are not run again, and take its place."""
        for nodeid, fingerprint in passed.items():
            self._write({"id": nodeid, "print": fingerprint})
        if self._file >= 0:
            interrupted.path.unlink(missing_ok=True)

    def finished(self, nodeid: str, *, passed: bool, database: bool) -> None:
        """Note one test."""
        if not passed:
            self._failed.add(nodeid)
        fingerprint = self._prints.of_test(nodeid, database=database) if passed else ""
        # Under --dist=each one worker may pass what another fails.
        if nodeid not in self._failed or not passed:
            self._write({"id": nodeid, "print": fingerprint})

    def close(self, *, completed: bool) -> None:
        """Let go of the record; a completed run, and what was interrupted of the same tests, need none."""
        if completed:
            for path in _dead_records(self._directory, self._selection):
                path.unlink(missing_ok=True)
            if self._file >= 0:
                self._path.unlink(missing_ok=True)
            for place in (self._directory, self._directory.parent):
                # Only where nothing else is in it.
                with suppress(OSError):
                    place.rmdir()
        file, self._file = self._file, -1
        self._dead = True
        if file >= 0:
            os.close(file)

    def _write(self, line: dict[str, Any]) -> None:
        if self._dead:
            return
        try:
            if self._file < 0:
                self._file = self._open()
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError:
            self._dead = True

    def _open(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        oldest_first = sorted(_dead_records(self._directory), key=_age)
        for path in oldest_first[: max(0, len(oldest_first) - MOST_INTERRUPTED + 1)]:
            path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, json.dumps(self._head).encode() + b"\n")
        return file


def selection_of(run: Run) -> str:
    """Return what tells the tests of one call of pytest from those of another: paths, ``-k``, ``-m``."""
    option = run.config.option
    facts = [str(run.config.rootpath), *run.config.args, option.keyword, option.markexpr]
    return hashlib.sha256("\0".join(facts).encode(errors="replace")).hexdigest()[:12]


def find_interrupted(run: Run, directory: Path) -> Interrupted | None:
    """Return the last run of the same tests that did not come to its end."""
    for path in sorted(_dead_records(directory, selection_of(run)), key=_age, reverse=True):
        if found := _read(path):
            return found
    return None


def still_valid(run: Run, interrupted: Interrupted) -> dict[str, str]:
    """Return the tests that passed and are what they were, with their fingerprints."""
    prints = Prints(run)
    return {
        nodeid: fingerprint
        for nodeid, fingerprint in interrupted.passed.items()
        if prints.of_test(nodeid, database="." in fingerprint) == fingerprint
    }


def _read(path: Path) -> Interrupted | None:
    passed: dict[str, str] = {}
    try:
        lines = [json.loads(line) for line in _whole_lines(path)]
        head, *rest = lines
        if head["v"] != FORMAT:
            return None
        for line in rest:
            passed[line["id"]] = line["print"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Interrupted(path, head["begun"], {key: value for key, value in passed.items() if value})


def _whole_lines(path: Path) -> Iterator[str]:
    """Yield every line but one that a kill cut short."""
    text = path.read_text(encoding="utf-8")
    yield from text[: text.rfind("\n") + 1].splitlines()


def _dead_records(directory: Path, selection: str = "") -> list[Path]:
    return [path for path in directory.glob(f"{selection}*.jsonl") if _is_dead(path)]


def _is_dead(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
