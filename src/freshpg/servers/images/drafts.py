"""An image being written: invisible under its own name until it is whole."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.faults import faultpoint
from freshpg.servers import control_file, private
from freshpg.servers.images.image import DRAFT, MANIFEST, PACK, Image
from freshpg.servers.images.manifest import Manifest
from freshpg.servers.images.pack import read_index, write_pack
from freshpg.servers.images.verified import remember_verified

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Draft:
    """A directory beside the images, locked while its maker lives, removed when left.

    A draft whose lock is free belongs to nobody alive: :func:`freshpg.servers.private.sweep_drafts` removes it.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._directory = place
        self._lock = -1

    def __enter__(self) -> Self:
        private.make_directory(self._place, exist_ok=True)
        self._directory, self._lock = private.make_locked_draft(self._place, DRAFT)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)

    def write(self, data_dir: Path, about: Mapping[str, Any]) -> Manifest:
        """Write the pack, then the manifest, and return the latter.

        Raises:
            ImageInvalid: The directory holds something a pack cannot.
            OSError: It could not be written.
        """
        control = control_file.parse_control_file((data_dir / control_file.PATH).read_bytes())
        assert control is not None  # noqa: S101 (only directories that were slimmed come here)
        with _create(self._directory / PACK) as out:
            summary = write_pack(data_dir, out)
        faultpoint("draft.packed")
        with (self._directory / PACK).open("rb") as pack:
            control_offset = read_index(pack.fileno()).offset(control_file.PATH)
            remember_verified(self._directory, pack.fileno())
        manifest = Manifest(
            **about,
            system_identifier=control.system_identifier,
            catalog_version=control.catalog_version,
            control_offset=control_offset,
            data_bytes=summary.data_bytes,
            pack_bytes=summary.pack_bytes,
            file_count=summary.file_count,
            checksum=summary.checksum,
        )
        with _create(self._directory / MANIFEST) as out:
            out.write(manifest.to_json().encode())
        faultpoint("draft.whole")
        return manifest

    def publish(self, manifest: Manifest) -> Image:
        """Give the draft its name and return the image; that of another process when it was faster."""
        target = self._place / manifest.key
        while True:
            try:
                self._directory.rename(target)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                if existing := Image.load(target):
                    return existing
                Image(manifest, target).discard()
            else:
                faultpoint("draft.published")
                return Image(manifest, target)


def _create(path: Path) -> Any:
    return os.fdopen(private.create(path, os.O_WRONLY | os.O_EXCL), "wb")
