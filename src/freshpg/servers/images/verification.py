"""May an image be trusted: is it what its name says, ours alone, and undamaged."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from freshpg.servers import control_file
from freshpg.servers.images.image import MANIFEST, PACK
from freshpg.servers.images.pack import checksum
from freshpg.servers.images.verified import is_verified, remember_verified

if TYPE_CHECKING:
    from freshpg.servers.images.image import Image


def verify(image: Image, *, build_id: str) -> None:
    """Make sure that ``image`` may be started from.

    It must be a directory and files of this user that nobody else may write, of the wanted build, of the size it had,
    and hold a cluster that was shut down. Once per boot of the machine its checksum is compared too: a crash of the
    machine or a damaged restore is found then.

    Raises:
        ImageInvalid: It is not.
    """
    with image.opened() as pack:
        _check_ownership(image, pack)
        _check_facts(image, pack, build_id)
        if not is_verified(image.directory, pack):
            if checksum(pack) != image.manifest.checksum:
                raise image.invalid("its checksum differs: it was damaged, or stored incompletely")
            remember_verified(image.directory, pack)


def _check_ownership(image: Image, pack: int) -> None:
    try:
        manifest = (image.directory / MANIFEST).lstat()
        directory = image.directory.lstat()
    except OSError as error:
        raise image.invalid(f"it went away: {error.strerror}") from None
    for name, facts, right_kind in (
        ("its directory", directory, stat.S_ISDIR),
        (MANIFEST, manifest, stat.S_ISREG),
        (PACK, os.fstat(pack), stat.S_ISREG),
    ):
        if not right_kind(facts.st_mode):
            raise image.invalid(
                f"{name} is a link or something else that was not put there by freshpg"
            )
        if facts.st_uid != os.geteuid():
            raise image.invalid(f"{name} belongs to user {facts.st_uid}, not to {os.geteuid()}")
        if facts.st_mode & 0o022:
            raise image.invalid(f"others may write {name} (mode {stat.S_IMODE(facts.st_mode):04o})")


def _check_facts(image: Image, pack: int, build_id: str) -> None:
    manifest = image.manifest
    if manifest.build_id != build_id:
        raise image.invalid(
            f"it was made by build {manifest.build_id}, and {build_id} is to start it"
        )
    if (size := os.fstat(pack).st_size) != manifest.pack_bytes:
        raise image.invalid(f"{PACK} has {size} bytes, not {manifest.pack_bytes}")
    control = control_file.parse_control_file(
        os.pread(pack, control_file.HEAD_BYTES, manifest.control_offset)
    )
    if control is None or not control.is_shut_down:
        raise image.invalid(
            f"its server is {control.state if control else 'of an unknown kind'}, not shut down"
        )
    if (control.system_identifier, control.catalog_version) != (
        manifest.system_identifier,
        manifest.catalog_version,
    ):
        raise image.invalid("it holds another cluster than it says")
