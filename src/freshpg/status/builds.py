"""What was built once: images in the cache, templates on somebody else's server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.leases import coordination
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.provision.own import IMAGE_AGE
from freshpg.status.remains import expendable_images, image_store
from freshpg.status.servers import foreign_contents, template_json
from freshpg.templates.collect import collect

if TYPE_CHECKING:
    from freshpg.core.settings import Settings
    from freshpg.servers.images import Image
    from freshpg.templates.records import TemplateRecord


@dataclass(frozen=True, slots=True)
class Builds:
    """All of them, last used first."""

    images: tuple[Image, ...]
    templates: tuple[TemplateRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data; sizes in bytes, times in seconds since the epoch."""
        return {
            "images": [_image_json(image) for image in self.images],
            "templates": [template_json(one) for one in self.templates],
        }


def read_builds(settings: Settings) -> Builds:
    """Return every image of this user, and the templates on the server of the settings if it is somebody else's.

    Raises:
        ServerError: That server does not answer.
    """
    contents = foreign_contents(settings.conninfo) if settings.conninfo else None
    return Builds(tuple(image_store().list()), contents.templates if contents else ())


def remove_old_builds(settings: Settings) -> list[str]:
    """Remove what is over the bounds and return its names; a template in use stays.

    Raises:
        ServerError: Somebody else's server does not answer.
    """
    store = image_store()
    old = expendable_images(store, settings)
    store.collect(
        max_count=settings.images_max, max_bytes=settings.images_max_size, max_age=IMAGE_AGE
    )
    removed = [image.key for image in old]
    if settings.conninfo and foreign_contents(settings.conninfo):
        with Admin.connect(settings.conninfo.with_(dbname=coordination.NAME)) as admin:
            removed += collect(Databases(admin, intents=coordination.TableIntents(admin)))
    return removed


def _image_json(image: Image) -> dict[str, Any]:
    manifest = image.manifest
    return {
        "key": image.key,
        "version": manifest.version,
        "project": manifest.facts.get("project", ""),
        "databases": dict(manifest.templates),
        "size": manifest.pack_bytes,
        "data_size": manifest.data_bytes,
        "build_seconds": manifest.build_seconds,
        "made": manifest.created,
        "used": image.last_used,
        "directory": str(image.directory),
    }
