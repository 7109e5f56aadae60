"""PostgreSQL installed on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.servers.binaries import probe
from freshpg.servers.probe_cache import ProbeCache
from freshpg.servers.providers.base import Finding, choose, gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PLACES: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the project's RPMs
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/lib*/postgresql-*/bin",  # Gentoo
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",  # MacPorts
    "/usr/local/pgsql/bin",  # built from source
)
_ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SystemProvider:
    """Finds PostgreSQL by ``pg_config``, in the places packagers use, and on ``PATH``.

    Attributes:
        cache_root: Where answers are remembered; None asks every time.
        places: Patterns of directories with programs.
        environ: Where ``PATH`` is read.
    """

    cache_root: Path | None = None
    places: Sequence[str] = PLACES
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    name: str = "system"

    def find(self, major: int | None) -> Finding:
        """Return the newest fitting PostgreSQL of the machine."""
        cache = ProbeCache(self.cache_root / "binaries.json" if self.cache_root else None)
        bindirs = _distinct(self._bindirs(cache))
        gathered = gather(partial(probe, bindir, self.name, cache=cache) for bindir in bindirs)
        todo = (
            *(step for problem in gathered.broken for step in problem.todo),
            _install_hint(major),
        )
        if not bindirs:
            return Finding(
                self.name, None, "no PostgreSQL server is installed on this machine", todo
            )
        taken, why = choose(gathered, major)
        others = tuple(one for one in gathered.usable if one is not taken)
        return Finding(self.name, taken, why, () if taken else todo, others)

    def _bindirs(self, cache: ProbeCache) -> Iterator[Path]:
        path = self.environ.get("PATH", os.defpath)
        if asked := _pg_config_bindir(path, cache):
            yield asked
        for place in self.places:
            root, pattern = place[:1], place[1:]
            yield from sorted(Path(root).glob(pattern), reverse=True)
        yield from (Path(part) for part in path.split(os.pathsep) if part)


def _pg_config_bindir(path: str, cache: ProbeCache) -> Path | None:
    program = shutil.which("pg_config", path=path)
    if program is None:
        return None
    file = Path(program)
    known = cache.get([file])
    if known is None:
        known = {"bindir": _ask_pg_config(file)}
        cache.put([file], known)
    return Path(known["bindir"]) if known.get("bindir") else None


def _ask_pg_config(program: Path) -> str:
    try:
        answer = subprocess.run(
            [program, "--bindir"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.defpath},
            text=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _distinct(bindirs: Iterator[Path]) -> list[Path]:
    """Directories with a ``postgres``, each program once however many links lead to it."""
    seen: dict[str, Path] = {}
    for bindir in bindirs:
        program = bindir / "postgres"
        # Not Path.is_file, which raises for a directory of PATH that we may not enter.
        if os.path.isfile(program):  # noqa: PTH113
            seen.setdefault(os.path.realpath(program), bindir)
    return list(seen.values())


def _install_hint(major: int | None) -> str:
    if sys.platform == "darwin":
        return f"brew install postgresql@{major or 18}"
    if major is None:
        return "install it with the system's packages; on Debian and Ubuntu: apt-get install postgresql"
    return f"install it with the system's packages; on Debian and Ubuntu: apt-get install postgresql-{major}"
