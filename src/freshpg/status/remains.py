"""What ``freshpg clean`` would remove, and why; and removing it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import FreshpgError, NoServer
from freshpg.kept import KeptList
from freshpg.leases import coordination
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.provision.own import IMAGE_AGE
from freshpg.servers import discovery, storage
from freshpg.servers.images import ImageStore
from freshpg.servers.keeper import ledger
from freshpg.servers.keeper.client import Keeper
from freshpg.servers.relocation import copied_build
from freshpg.status.grounds import abandoned_grounds
from freshpg.status.keepers import LABEL, running_keepers
from freshpg.status.servers import own_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.core.settings import Settings
    from freshpg.kept import KeptDatabase
    from freshpg.servers.images import Image

BURIAL_SECONDS = 30.0

Kind = Literal["runtime directory", "database", "kept database", "image", "programs", "demo"]


@dataclass(frozen=True, slots=True)
class Remain:
    """One thing to remove; ``size`` in bytes where it is known."""

    kind: Kind
    name: str
    why: str
    size: int | None = None
    done: bool = False
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            name: getattr(self, name) for name in ("kind", "name", "why", "size", "done", "error")
        }


def clean(settings: Settings, *, every_image: bool, do_it: bool) -> list[Remain]:
    """Return what nobody needs, removed when ``do_it``.

    Args:
        settings: The project's, for its kept databases, the bounds of the cache and somebody else's server.
        every_image: Every image, not only those over the bounds.
        do_it: Remove it; otherwise nothing is changed.
    """
    return [
        *_kept(settings, do_it=do_it),
        *_databases(settings, do_it=do_it),
        *_directories(do_it=do_it),
        *_images(settings, every=every_image, do_it=do_it),
        *_programs(do_it=do_it),
        *_demos(do_it=do_it),
    ]


def _kept(settings: Settings, *, do_it: bool) -> Iterator[Remain]:
    kept = KeptList(settings.root / ".freshpg")
    running = {server.id for server in own_servers(look_inside=False)}
    for one in kept.all():
        gone = bool(one.server) and one.server not in running
        why = (
            "kept, but its server has ended" if gone else f"kept {one.test or 'by hand'}: {one.why}"
        )

        def remove(one: KeptDatabase = one, *, gone: bool = gone) -> None:
            if not gone:
                _drop_kept(settings, one)
            kept.forget(one.name)

        yield _attempt(Remain("kept database", one.name, why), remove, do_it=do_it)
    if do_it:
        _end_idle_keepers_of_kept(settings)


def _drop_kept(settings: Settings, one: KeptDatabase) -> None:
    own = next(
        (server for server in own_servers(look_inside=False) if server.id == one.server), None
    )
    address = own.coordination if own else settings.conninfo
    if address is None:
        return
    with Admin.connect(address) as admin:
        Databases(admin).drop(one.name)


def _end_idle_keepers_of_kept(settings: Settings) -> None:
    """End the servers that only stood for the sake of kept databases."""
    idle = [
        server
        for server in own_servers(look_inside=False)
        if server.project == str(settings.root) and server.state == "warm"
    ]
    pinned = [server for server in idle if (server.idle_left or 0) > settings.linger]
    with running_keepers() as keepers:
        for keeper in keepers:
            for server in pinned:
                with suppress(FreshpgError):
                    keeper.stop(server.id)


def _databases(settings: Settings, *, do_it: bool) -> Iterator[Remain]:
    """On somebody else's server; on those of ours everything ends with the server."""
    if settings.conninfo is None:
        return
    with _foreign(settings) as databases:
        if databases is None:
            return
        for swept in sweep_databases(databases, dry_run=not do_it):
            yield Remain("database", swept.name, swept.why, done=swept.done, error=swept.error)


@contextmanager
def _foreign(settings: Settings) -> Iterator[Databases | None]:
    assert settings.conninfo is not None  # noqa: S101 (the caller asked)
    with Admin.connect(settings.conninfo) as admin:
        exists = Databases(admin).find(coordination.NAME) is not None
    if not exists:
        yield None
        return
    with Admin.connect(settings.conninfo.with_(dbname=coordination.NAME)) as admin:
        yield Databases(admin, intents=coordination.TableIntents(admin))


def _directories(*, do_it: bool) -> Iterator[Remain]:
    """Those that no living keeper answers for; a new one takes them over, which removes what is dead."""
    with running_keepers() as keepers:
        guarded = {root for keeper in keepers for root in keeper.status()["roots"]}
    lost = [
        Path(directory)
        for root in storage.runtime_roots()
        if str(root) not in guarded
        for directory in ledger.server_directories(str(root))
    ]
    if not lost:
        return
    if do_it:
        _take_over()
    for directory in lost:
        yield Remain(
            "runtime directory",
            str(directory),
            "its keeper and whoever used it are gone",
            done=do_it and not directory.exists(),
        )


def _take_over() -> None:
    end = Deadline(BURIAL_SECONDS)
    with Keeper.connect(
        storage.keeper_root(), roots=storage.runtime_roots(), label=LABEL
    ) as keeper:
        while keeper.status()["removing"] and not end.expired:
            SYSTEM_CLOCK.sleep(0.02)


def _images(settings: Settings, *, every: bool, do_it: bool) -> Iterator[Remain]:
    store = image_store()
    images = tuple(store.list()) if every else expendable_images(store, settings)
    for image in images:
        name = f"{image.key} ({', '.join(image.manifest.templates) or 'empty cluster'})"
        why = "asked for" if every else "over the bounds of images_max and images_max_size, or old"
        found = Remain("image", name, why, size=image.manifest.pack_bytes)
        yield _attempt(found, lambda image=image: store.remove(image), do_it=do_it)  # type: ignore[misc]


def _programs(*, do_it: bool) -> Iterator[Remain]:
    """Copies of installations that are not there any more, or not as they were; while a server runs, it may need one."""
    copies = [
        (copy, build)
        for root in (*storage.cache_candidates(), *storage.runtime_roots())
        for copy in sorted((root / "programs").glob("*-*"))
        if (build := copied_build(copy))
    ]
    if not copies or own_servers(look_inside=False):
        return
    providers = discovery.providers_for("auto", cache_root=storage.cache_root())
    builds: set[str] = set()
    with suppress(NoServer):
        builds = {one.build_id for one in discovery.resolve(providers, ask_all=True).binaries_seen}
    for copy, build in copies:
        if build not in builds:
            why = "copy of a PostgreSQL installation that is not found any more, or not as it was"
            yield _attempt(
                Remain("programs", str(copy), why), partial(shutil.rmtree, copy), do_it=do_it
            )


def _demos(*, do_it: bool) -> Iterator[Remain]:
    for ground in abandoned_grounds():
        why = "its freshpg demo was killed"
        yield _attempt(
            Remain("demo", str(ground), why), partial(shutil.rmtree, ground), do_it=do_it
        )


def image_store() -> ImageStore:
    """Return the cache of images, without making anything."""
    candidates = storage.cache_candidates()
    root = next((one for one in candidates if one.is_dir()), candidates[0])
    return ImageStore(root, fallback=storage.runtime_roots()[0] / "cache")


def expendable_images(store: ImageStore, settings: Settings) -> tuple[Image, ...]:
    """Return the images over the bounds of the settings."""
    return store.expendable(
        max_count=settings.images_max, max_bytes=settings.images_max_size, max_age=IMAGE_AGE
    )


def _attempt(found: Remain, remove: Callable[[], None], *, do_it: bool) -> Remain:
    if not do_it:
        return found
    try:
        remove()
    except (FreshpgError, OSError) as error:
        return Remain(found.kind, found.name, found.why, found.size, error=str(error))
    return Remain(found.kind, found.name, found.why, found.size, done=True)
