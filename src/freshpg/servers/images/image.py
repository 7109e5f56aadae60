"""One sealed image on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import ImageInvalid
from freshpg.core.faults import faultpoint
from freshpg.servers.images.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "image.json"
PACK: Final = "data.pack"
DRAFT: Final = ".tmp-"


@dataclass(frozen=True, slots=True)
class Image:
    """A directory with a manifest and a pack."""

    manifest: Manifest
    directory: Path

    @classmethod
    def load(cls, directory: Path) -> Image | None:
        """Return the image in ``directory``, unverified; None when there is none of its name."""
        try:
            manifest = Manifest.from_json((directory / MANIFEST).read_bytes())
        except OSError:
            return None
        return (
            cls(manifest, directory)
            if manifest is not None and manifest.key == directory.name
            else None
        )

    @property
    def key(self) -> str:
        """Its name in the store."""
        return self.manifest.key

    @property
    def last_used(self) -> float:
        """When it was last copied, in seconds since the epoch."""
        with contextlib.suppress(OSError):
            return (self.directory / MANIFEST).stat().st_mtime
        return self.manifest.created

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Give its pack as an open file, which stays readable when the image is removed meanwhile.

        Raises:
            ImageInvalid: It cannot be opened, or is a link.
        """
        try:
            pack = os.open(self.directory / PACK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise self.invalid(f"{PACK} cannot be opened: {error.strerror}") from None
        try:
            yield pack
        finally:
            os.close(pack)

    def discard(self) -> None:
        """Take it out of sight at once, then remove it; what cannot be removed stays."""
        with contextlib.suppress(OSError):
            grave = Path(tempfile.mkdtemp(dir=self.directory.parent, prefix=DRAFT))
            with contextlib.suppress(OSError):
                self.directory.rename(grave / self.directory.name)
            faultpoint("discard.hidden")
            shutil.rmtree(grave, ignore_errors=True)

    def invalid(self, seen: str) -> ImageInvalid:
        """Return the error that says what is wrong with it."""
        return ImageInvalid(
            "a cached image was verified",
            on=str(self.directory),
            seen=seen,
            todo=("nothing: it is made again", "if it happens again, remove the directory"),
            key=self.key,
        )
