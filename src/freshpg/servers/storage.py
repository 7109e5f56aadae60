"""Where things live: servers, sockets, the keeper, the cache; and whether a directory may be trusted with them.

A runtime root is ``<base>/freshpg-<uid>``, ours alone. One of them, the first that can be used, is the keeper's; a
server's data goes to whichever fits it. Nothing here changes the mode or owner of a directory we did not make: one
that is not as it must be is refused, and the next place is tried.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import DiskFull, PathUnusable
from freshpg.core.faults import faultpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""sizeof(sun_path) - 1: https://man7.org/linux/man-pages/man7/unix.7.html"""

MEMORY = Path("/dev/shm")  # noqa: S108 (roots inside are ours, unshared and checked)
MEMORY_RESERVE = 64 << 20
"""Bytes left free in memory for others: a container's whole /dev/shm is 64 MB by default."""
GROWTH = 3
"""A server's data may become this many times its image: clones, WAL, what tests write."""
DISK_RESERVE = 32 << 20

SERVERS = "servers"
SOCKETS = "sockets"
_LONGEST_SOCKET = "/.s.PGSQL.65535.lock"


@dataclass(frozen=True, slots=True)
class Place:
    """A runtime root and what is free there."""

    root: Path
    free: int
    in_memory: bool


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """Where one server lives. Nothing exists yet: claim :attr:`paths` first, then :meth:`make`.

    Attributes:
        id: Unguessable.
        directory: Record, log, data; removed with the server.
        data: Data directory to be.
        sockets: Socket directory to be, inside ``directory`` unless that path is too long.
    """

    id: str
    directory: Path
    data: Path
    sockets: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is to be removed with the server."""
        return (
            (self.directory,)
            if self.sockets.is_relative_to(self.directory)
            else (self.directory, self.sockets)
        )

    def make(self, uid: int, gid: int) -> None:
        """Make the directories; ``data`` stays to be filled. The server's user gets the socket directory.

        Raises:
            PathUnusable: Somebody else was there first, or the system refused.
        """
        _make_shelf(self.directory.parent)
        # Root's directories are passable: the server's user reaches its own below, whose names nobody can guess.
        _mkdir(self.directory, _root_mode())
        faultpoint("place.directory_made")
        if self.sockets.parent != self.directory:
            _make_shelf(self.sockets.parent)
        _mkdir(self.sockets, 0o700)
        faultpoint("place.sockets_made")
        if uid != os.geteuid():
            os.chown(self.sockets, uid, gid)


def runtime_bases(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the directories that may hold a runtime root, best first: ``FRESHPG_RUNTIME`` alone when set.

    Only that one may be missing, and is then made: where the system has no ``/dev/shm``, it is not ours to add.
    """
    if chosen := environ.get("FRESHPG_RUNTIME"):
        return (Path(chosen).absolute(),)
    chosen = environ.get("TMPDIR") or tempfile.gettempdir()
    common = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 (see MEMORY)
    bases = dict.fromkeys((MEMORY, Path(chosen).absolute(), *common))
    return tuple(base for base in bases if base.is_dir())


def runtime_roots(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return every possible runtime root, best first; the cache's own is the last resort that no other user can block."""
    roots = [base / f"freshpg-{os.geteuid()}" for base in runtime_bases(environ)]
    return (*roots, cache_candidates(environ)[0] / "run")


def keeper_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the root whose keeper we use, made if need be.

    The first usable one with room for a socket's path; free space does not matter, so that every process of one
    environment finds the same.

    Raises:
        PathUnusable: No place can be used; says why for each.
    """
    return _first(runtime_roots(environ), _keeper_problem)


def _keeper_problem(root: Path) -> str:
    return problem_of(root) or _too_long(root / "keeper.sock") or ""


def places(environ: Mapping[str, str] = os.environ) -> Iterator[Place]:
    """Yield the roots that can be used now, best first, with what is free in each; none is made by looking."""
    for root in runtime_roots(environ):
        with contextlib.suppress(PathUnusable, OSError):
            where = root if os.path.lexists(root) else root.parent
            if where == root:
                _check_root(root)
            if not os.access(where, os.W_OK | os.X_OK):
                continue
            facts = os.statvfs(where)
            yield Place(root, facts.f_bavail * facts.f_frsize, root.is_relative_to(MEMORY))


def choose_place(candidates: Sequence[Place], needed: int) -> Place | None:
    """Return where data of ``needed`` bytes goes: memory with room to grow, else the first disk with room.

    Memory that is tight is still better than nothing.
    """
    for place in candidates:
        room = needed * GROWTH + MEMORY_RESERVE if place.in_memory else needed + DISK_RESERVE
        if place.free >= room:
            return place
    return next((place for place in candidates if place.free >= needed + DISK_RESERVE), None)


def place_server(needed: int, *, environ: Mapping[str, str] = os.environ) -> ServerPlace:
    """Return where a server with an image of ``needed`` bytes goes.

    Raises:
        DiskFull: It fits nowhere.
        PathUnusable: No place can be used.
    """
    candidates = tuple(places(environ))
    if not candidates:
        keeper_root(environ)
    chosen = choose_place(candidates, needed)
    if chosen is None:
        wanted = needed + DISK_RESERVE
        raise DiskFull(
            f"a place with {wanted >> 20} MB for a server was looked for",
            on=", ".join(str(place.root) for place in candidates),
            seen="\n".join(f"{place.root}: {place.free >> 20} MB free" for place in candidates),
            todo=(
                "free space there, or set TMPDIR to a directory with room",
                "freshpg clean removes what is not used",
            ),
            needed=wanted,
            free=max(place.free for place in candidates),
        )
    # The keeper accepts claims only below roots that it can see to be ours.
    make_root(chosen.root)
    return server_place(chosen.root, keeper_root(environ))


def server_place(root: Path, short_root: Path) -> ServerPlace:
    """Name a server below ``root``; its sockets go below ``short_root`` when its own path is too long for one."""
    server = new_server_id()
    directory = root / SERVERS / server
    sockets = directory / "s"
    if _too_long(Path(f"{sockets}{_LONGEST_SOCKET}")):
        sockets = short_root / SOCKETS / server
    return ServerPlace(server, directory, directory / "data", sockets)


def new_server_id() -> str:
    """Return a name nobody can guess: 64 bits of chance."""
    return os.urandom(8).hex()


def cache_candidates(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return where the cache may be, best first: ``FRESHPG_CACHE`` alone when set."""
    if chosen := environ.get("FRESHPG_CACHE"):
        return (Path(chosen).absolute(),)
    from platformdirs import user_cache_path

    disk = (
        base / f"freshpg-{os.geteuid()}" / "cache"
        for base in runtime_bases(environ)
        if base != MEMORY
    )
    return (user_cache_path("freshpg"), *disk)


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory for images, made if need be; a read-only HOME falls back to a runtime root on disk.

    Raises:
        PathUnusable: Neither can be used, or ``FRESHPG_CACHE`` cannot.
    """
    return _first(cache_candidates(environ), problem_of)


def programs_root(
    reachable: Callable[[Path], bool], environ: Mapping[str, str] = os.environ
) -> Path:
    """Return the directory for copies of programs, made if need be: the cache, else a runtime root.

    Args:
        reachable: Whether the user who will run them can get there.
        environ: Passed in by tests.

    Raises:
        PathUnusable: No place can be used; says why for each.
    """
    roots = (*cache_candidates(environ), *runtime_roots(environ))

    def problem(root: Path) -> str:
        found = problem_of(root)
        if not found and os.statvfs(root).f_flag & getattr(os, "ST_NOEXEC", 0):
            return "programs may not be run there (noexec)"
        return found or ("" if reachable(root) else "the user who runs servers cannot reach it")

    return _first(roots, problem) / "programs"


def _first(roots: Sequence[Path], problem: Callable[[Path], str]) -> Path:
    seen = []
    for root in roots:
        found = problem(root)
        if not found:
            return root
        seen.append(f"{root}: {found}")
    raise PathUnusable(
        "a directory of our own was looked for",
        on=str(roots[0]),
        seen="\n".join(seen),
        todo=(
            "set TMPDIR (and FRESHPG_CACHE) to a writable directory with a short path",
            "remove the directory in the way if it is not yours",
        ),
    )


def problem_of(root: Path) -> str:
    """Make ``root`` if need be and return why it cannot be used; empty when it can."""
    try:
        make_root(root)
    except PathUnusable as error:
        return error.seen
    return "" if os.access(root, os.W_OK | os.X_OK) else "not writable"


def make_root(root: Path) -> None:
    """Make the directory ``root``, or check the one that is there.

    Raises:
        PathUnusable: It is a link, somebody else's, writable by others, or cannot be made.
    """
    try:
        if root.parent.parent.is_dir() and not root.parent.exists():
            make_root(root.parent)
        _mkdir(root, _root_mode(), exist_ok=True)
    except OSError as error:
        raise _unusable(root, str(error.strerror or error)) from None
    _check_root(root)


def _check_root(root: Path) -> None:
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable(
            root, "not a directory" if not stat.S_ISLNK(found.st_mode) else "a symbolic link"
        )
    if found.st_uid != os.geteuid():
        raise _unusable(root, f"belongs to user {found.st_uid}")
    if found.st_mode & 0o022:
        raise _unusable(root, f"others may write it (mode {stat.S_IMODE(found.st_mode):04o})")


def _make_shelf(directory: Path) -> None:
    make_root(directory.parent)
    make_root(directory)


def _root_mode() -> int:
    return 0o711 if os.geteuid() == 0 else 0o700


def _mkdir(directory: Path, mode: int, *, exist_ok: bool = False) -> None:
    try:
        directory.mkdir(mode)
    except FileExistsError:
        if not exist_ok:
            raise _unusable(directory, "exists already") from None
        return
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from None
    faultpoint("root.made")
    # A umask may have taken bits away. Only what we just made is given its mode: whoever is killed before has to remove
    # the directory by hand, under such a umask.
    directory.chmod(mode)


def _too_long(socket: Path) -> str:
    size = len(os.fsencode(socket))
    return (
        f"a socket's path would have {size} bytes, the system allows {SOCKET_BYTES}"
        if size > SOCKET_BYTES
        else ""
    )


def _unusable(path: Path, seen: str) -> PathUnusable:
    return PathUnusable(
        "a directory was to be made and trusted",
        on=str(path),
        seen=seen,
        todo=(
            "remove it if it is not yours",
            "set TMPDIR or FRESHPG_CACHE to a directory of your own",
        ),
        path=str(path),
    )
