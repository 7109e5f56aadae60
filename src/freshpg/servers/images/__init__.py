"""Sealed data directories in a cache: found by key, verified before use, copied out for each start.

An image is a directory ``images/<key>`` with two files: ``data.pack`` and ``image.json``. It is written under another
name and appears by one rename, so what is there is whole; what a dead builder left is recognised by its lock, which
the system released.
"""

from freshpg.servers.images.image import Image
from freshpg.servers.images.manifest import Manifest
from freshpg.servers.images.store import ImageStore, image_key

__all__ = ["Image", "ImageStore", "Manifest", "image_key"]
