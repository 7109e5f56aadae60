"""The images of one user: under the cache root, and elsewhere when that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from typing import TYPE_CHECKING, Any, Final, TypeVar

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.errors import DiskFull, ImageInvalid, PathUnusable
from freshpg.core.faults import faultpoint
from freshpg.servers import private
from freshpg.servers.images.build_lock import LOCK, build_lock, remove_if_free
from freshpg.servers.images.drafts import Draft
from freshpg.servers.images.image import DRAFT, MANIFEST, Image
from freshpg.servers.images.manifest import FORMAT
from freshpg.servers.images.pack import read_index, unpack
from freshpg.servers.images.verification import verify
from freshpg.servers.slimming import slim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from freshpg.core.clock import Clock, Deadline
    from freshpg.servers.runas import RunAs

_Made = TypeVar("_Made")

logger = logging.getLogger("freshpg.images")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_HERE: Final = _FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


def image_key(*determining: str) -> str:
    """Return the key of the image determined by these texts, in this order."""
    digest = hashlib.sha256(str(FORMAT).encode())
    for text in determining:
        digest.update(len(text).to_bytes(8, "big") + text.encode())
    return digest.hexdigest()[:24]


class ImageStore:
    """Finds, makes, hands out and collects images.

    Args:
        root: The cache root; ``images/`` is made below it. May be read-only.
        fallback: Where to write when ``root`` cannot be written; read as well.
        clock: Tells the time of creation and use.
    """

    def __init__(
        self, root: Path, *, fallback: Path | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._places = tuple(place / "images" for place in (root, fallback) if place is not None)
        self._clock = clock

    def find(self, key: str, build_id: str) -> Image | None:
        """Return the image of that key, verified, or None. One that fails is removed, where that is possible."""
        for place in self._places:
            image = Image.load(place / key)
            if image is None:
                continue
            try:
                verify(image, build_id=build_id)
            except ImageInvalid as problem:
                logger.warning("image %s is not used and will be made again: %s", key, problem.seen)
                image.discard()
                continue
            return image
        return None

    def ensure(
        self,
        key: str,
        build_id: str,
        make: Callable[[], Image],
        *,
        deadline: Deadline,
        waiting: Callable[[str], None] | None = None,
    ) -> Image:
        """Return the image of that key, calling ``make`` (which seals it) when there is none.

        Among any number of processes one makes it; the others wait until ``deadline`` and hear through ``waiting``,
        once a second, whom they wait for.

        Raises:
            WaitTimedOut: Another process still made it at the deadline.
        """
        if found := self.find(key, build_id):
            return found
        with self.building(key, deadline, waiting):
            return self.find(key, build_id) or make()

    def building(
        self, key: str, deadline: Deadline, waiting: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Be the only process that makes ``key``; see :meth:`ensure`, which is all most callers need."""
        path = self._first_writable(lambda place: _touched(place / f"{LOCK}{key}"))
        return build_lock(path, deadline, waiting)

    def best_prefix(self, chains: Mapping[str, Sequence[str]], build_id: str) -> Image | None:
        """Return the verified image that has done most of the migration steps in ``chains`` and no other."""
        scored = [
            (steps, image)
            for image in self.list()
            if image.manifest.build_id == build_id
            and (steps := image.manifest.steps_shared_with(chains))
        ]
        for _, image in sorted(scored, key=lambda one: (-one[0], one[1].key)):
            if found := self.find(image.key, build_id):
                return found
        return None

    def list(self) -> list[Image]:
        """Return all images, most recently used first, without verifying them."""
        entries = (
            entry
            for place in self._places
            for entry in _entries(place)
            if not entry.name.startswith(".")
        )
        found = [image for entry in entries if (image := Image.load(entry)) is not None]
        return sorted(found, key=lambda image: -image.last_used)

    def copy_to(self, image: Image, target: Path, owner: RunAs | None = None) -> None:
        """Make ``target``, which must not exist, as a data directory of mode 0700 belonging to ``owner``.

        A failure leaves no target.

        Raises:
            ImageInvalid: The image vanished or cannot be read.
            DiskFull: There is no room for the copy.
            FileExistsError: The target exists; it is not touched.
        """
        ids = (owner.uid, owner.gid) if owner is not None and owner.uid != os.geteuid() else None
        with image.opened() as pack:
            index = read_index(pack)
            private.make_directory(target)
            try:
                faultpoint("copy.target_made")
                unpack(pack, index, target, ids)
                faultpoint("copy.filled")
            except BaseException as error:
                shutil.rmtree(target, ignore_errors=True)
                if isinstance(error, OSError) and error.errno in _FULL:
                    raise _no_room(target, image.manifest.data_bytes) from None
                raise
        self.touch(image)

    def touch(self, image: Image) -> None:
        """Note that ``image`` is in use now; not being able to is no error."""
        now = self._clock.time()
        with contextlib.suppress(OSError):
            os.utime(image.directory / MANIFEST, (now, now))

    def seal(
        self,
        key: str,
        data_dir: Path,
        *,
        build_id: str,
        version: str,
        build_seconds: float = 0.0,
        chains: Mapping[str, Sequence[str]] | None = None,
        templates: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Image:
        """Store the data directory of a server that was shut down under ``key`` and return the image.

        ``data_dir`` is slimmed and stays the caller's. When another process sealed the same key first, theirs is
        returned.

        Raises:
            ImageInvalid: It was not shut down cleanly, or holds a tablespace.
            DiskFull: There is no room.
            PathUnusable: No place can be written.
        """
        slim(data_dir)
        about = {
            "key": key,
            "build_id": build_id,
            "version": version,
            "build_seconds": round(build_seconds, 3),
            "chains": {name: tuple(chain) for name, chain in (chains or {}).items()},
            "templates": dict(templates or {}),
            "facts": dict(facts or {}),
            "created": self._clock.time(),
        }
        return self._first_writable(lambda place: _seal_in(place, data_dir, about))

    def remove(self, image: Image) -> None:
        """Remove ``image``; whoever copies it at this moment is not disturbed."""
        image.discard()

    def collect(
        self, *, max_count: int, max_bytes: int, max_age: float, protect: Collection[str] = ()
    ) -> tuple[Image, ...]:
        """Remove the least recently used images over these bounds, and what dead builders left; return the images.

        Args:
            max_count: How many images may stay.
            max_bytes: How many bytes they may take together.
            max_age: Seconds since the last use.
            protect: Keys that stay whatever the bounds say.
        """
        removed = self.expendable(
            max_count=max_count, max_bytes=max_bytes, max_age=max_age, protect=protect
        )
        for image in removed:
            self.remove(image)
        for place in self._places:
            private.sweep_drafts(place, DRAFT)
            for entry in _entries(place):
                if (
                    entry.name.startswith(LOCK)
                    and not (place / entry.name.removeprefix(LOCK)).exists()
                ):
                    remove_if_free(entry)
        return removed

    def expendable(
        self, *, max_count: int, max_bytes: int, max_age: float, protect: Collection[str] = ()
    ) -> tuple[Image, ...]:
        """Return the images that :meth:`collect` would remove."""
        return tuple(self._over(max_count, max_bytes, max_age, protect))

    def _over(
        self, max_count: int, max_bytes: int, max_age: float, protect: Collection[str]
    ) -> Iterator[Image]:
        images = self.list()
        oldest = self._clock.time() - max_age
        count = sum(image.key in protect for image in images)
        total = sum(image.manifest.pack_bytes for image in images if image.key in protect)
        for image in images:
            if image.key in protect:
                continue
            count += 1
            total += image.manifest.pack_bytes
            if count > max_count or total > max_bytes or image.last_used < oldest:
                count -= 1
                total -= image.manifest.pack_bytes
                yield image

    def _first_writable(self, act: Callable[[Path], _Made]) -> _Made:
        """Return what ``act`` makes in the first place that takes it."""
        refusals: list[OSError] = []
        for place in self._places:
            try:
                return act(place)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                refusals.append(error)
        raise _nowhere(self._places, refusals)


def _seal_in(place: Path, data_dir: Path, about: Mapping[str, Any]) -> Image:
    with Draft(place) as draft:
        manifest = draft.write(data_dir, about)
        return draft.publish(manifest)


def _touched(path: Path) -> Path:
    private.make_directory(path.parent, exist_ok=True)
    os.close(private.create(path, os.O_RDWR))
    return path


def _entries(place: Path) -> tuple[Path, ...]:
    try:
        return tuple(place.iterdir())
    except OSError:
        return ()


def _nowhere(places: Sequence[Path], refusals: Sequence[OSError]) -> DiskFull | PathUnusable:
    if refusals[-1].errno in _FULL:
        return _no_room(places[-1])
    return PathUnusable(
        "an image of a data directory was to be written",
        on=", ".join(map(str, places)),
        seen="; ".join(str(error) for error in refusals),
        todo=("set FRESHPG_CACHE to a directory this user may write",),
    )


def _no_room(place: Path, needed: int | None = None) -> DiskFull:
    free = next(
        (shutil.disk_usage(path).free for path in (place, *place.parents) if path.exists()), 0
    )
    return DiskFull(
        "an image of a data directory was written",
        on=str(place),
        seen=f"{free} bytes are free" + (f", {needed} are needed" if needed else ""),
        todo=("free some space there", "set FRESHPG_CACHE to a directory with more room"),
        needed=needed,
        free=free,
    )
