"""Which user runs PostgreSQL: it refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OVERFLOW_ID = 65534
"""The kernel's own number for nobody; needs no entry in ``/etc/passwd``."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """User and group by number; supplementary groups are always dropped."""

    uid: int
    gid: int
    name: str = ""

    @property
    def is_ourselves(self) -> bool:
        """Whether no change of user is needed."""
        return self.uid == os.geteuid()


def choose(environ: Mapping[str, str] = os.environ) -> RunAs:
    """Return who runs servers: ourselves, or as root an existing unprivileged user.

    As root: ``FRESHPG_RUN_AS`` (name or uid), else ``postgres``, else ``nobody``, else uid 65534. No user is ever added.

    Raises:
        SettingsInvalid: ``FRESHPG_RUN_AS`` names nobody, or root.
    """
    if os.geteuid() != 0:
        return RunAs(os.geteuid(), os.getegid())
    if wanted := environ.get("FRESHPG_RUN_AS"):
        return _wanted(wanted)
    for name in ("postgres", "nobody"):
        found = _by_name(name)
        if found and found.uid != 0:
            return found
    return RunAs(OVERFLOW_ID, OVERFLOW_ID)


def _wanted(text: str) -> RunAs:
    found = RunAs(int(text), int(text)) if text.isdecimal() else _by_name(text)
    if found is None or found.uid == 0:
        raise SettingsInvalid(
            "the user that runs PostgreSQL was looked up",
            on=f"FRESHPG_RUN_AS={text}",
            seen="PostgreSQL refuses to run as root" if found else "there is no such user",
            todo=("name an existing unprivileged user or its number", "unset FRESHPG_RUN_AS"),
        )
    return found


def _by_name(name: str) -> RunAs | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return RunAs(entry.pw_uid, entry.pw_gid, name)


def can_reach(run_as: RunAs, *programs: Path) -> bool:
    """Whether that user may run all of ``programs``, judged by mode bits of them and every directory above them.

    When not, run a copy (``Binaries.relocate``) instead: the modes of foreign directories are never changed.
    """
    if run_as.is_ourselves:
        return all(os.access(program, os.X_OK) for program in programs)
    passed: set[Path] = set()
    for program in programs:
        path = program.resolve()
        while path not in passed:
            passed.add(path)
            path = path.parent
    return all(_may_execute(run_as, path) for path in passed)


def can_enter(run_as: RunAs, directory: Path) -> bool:
    """Whether that user may go into ``directory``, judged as in :func:`can_reach`."""
    return run_as.is_ourselves or can_reach(run_as, directory)


def _may_execute(run_as: RunAs, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == run_as.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == run_as.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
