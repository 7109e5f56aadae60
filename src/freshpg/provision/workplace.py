"""Where and with what servers of ours are made: programs, user, keeper, image store."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from freshpg.core.errors import KeeperFailed
from freshpg.core.faults import faultpoint
from freshpg.servers import nameless, runas, storage
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE, ClusterOptions
from freshpg.servers.images import ImageStore
from freshpg.servers.keeper.client import Keeper, PendingKeeper
from freshpg.servers.keeper.early import EarlyClaims
from freshpg.servers.keeper.remains import RECORD
from freshpg.templates.builder import BuildSite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from freshpg.core.settings import Settings
    from freshpg.servers.binaries import Binaries
    from freshpg.servers.postmaster import ServerHandle
    from freshpg.servers.runas import RunAs
    from freshpg.servers.storage import ServerPlace
    from freshpg.templates.blueprint import Blueprint


T = TypeVar("T")

DEATHS: Final = 3
"""How many keepers in a row may die over one act."""


class LazyKeeper:
    """The keeper, started early and waited for late: its start overlaps with the copying of an image."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._pending: PendingKeeper | None = None
        self._client: Keeper | None = None
        self._early: EarlyClaims | None = None
        self._reviving = threading.Lock()
        self._deaths = 0

    def spawn(self) -> None:
        """Begin to connect or to start it."""
        if self._pending is None and self._client is None:
            self._pending = Keeper.spawn_async(
                storage.keeper_root(), roots=storage.runtime_roots(), label=self._label
            )

    @property
    def client(self) -> Keeper:
        """The connected keeper; a successor when the first one died."""
        self.revive()
        if self._client is None:
            self.spawn()
            assert self._pending is not None  # noqa: S101 (spawn sets it)
            self._client = self._pending.wait_ready()
            if self._early is not None:
                self._early.hand_over(self._client)
        return self._client

    def revive(self) -> None:
        """Have a successor take over what is ours if the keeper died."""
        # One at a time: the successor takes the end of a second connection of ours for our death.
        with self._reviving:
            if self._client is not None and not self._client.alive:
                self._deaths += 1
                self._client.reconnect()

    def outlived(self, act: Callable[[], T]) -> T:
        """Return what ``act`` returns, which is done anew when it failed and the keeper had died over it.

        It must leave nothing behind when it fails. After :data:`DEATHS` in a row its error stands.
        """
        for attempt in range(DEATHS):
            before = self._deaths
            try:
                return act()
            except Exception:
                self.revive()
                if self._deaths == before or attempt == DEATHS - 1:
                    raise
        raise AssertionError

    @property
    def starting(self) -> bool:
        """Whether the keeper was only just started."""
        return self._client is None and self._pending is not None and self._pending.starting

    def claim(self, paths: Sequence[Path]) -> None:
        """Have these removed if this process dies."""
        if self.starting and self._pending is not None:
            self._early = self._early or EarlyClaims(self._pending.root)
            if self._early.can_hold(paths):
                self._early.add(paths, self._label)
                return
        self.client.claim(paths)

    def stop_place(self, place: ServerPlace) -> None:
        """Remove a place and whatever runs in it.

        What a keeper has a record of is left to keepers: the one that started a server may have been killed before it
        could say so, and its successor finds the server by that record.
        """
        with suppress(KeeperFailed):
            if not self.starting:
                self.client.stop(place.id)
        faultpoint("place.released")
        left = remove_place(place)
        faultpoint("place.removed")
        with suppress(KeeperFailed):
            if not self.starting:
                # Who has no descriptor left cannot remove a directory: the keeper does, once we have left it.
                self.client.unclaim([path for path in place.paths if path not in left])

    def close(self) -> None:
        """Leave the keeper; what is still owned or claimed is removed by it."""
        if self._early is not None and not self._early.remain:
            self._early.forget()
        client, self._client = self._client, None
        pending, self._pending = self._pending, None
        if client is not None:
            client.close()
        elif pending is not None:
            pending.give_up()


@dataclass(frozen=True)
class Workplace:
    """Everything that servers of ours are made with."""

    root: Path
    binaries: Binaries
    run_as: RunAs
    keeper: LazyKeeper
    options: ClusterOptions
    settings: Mapping[str, str]

    @classmethod
    def choose(cls, settings: Settings, binaries: Binaries, keeper: LazyKeeper) -> Workplace:
        """Choose user and places; programs that the user cannot reach are copied to where it can."""
        run_as = runas.choose()
        if not binaries.reachable_by(run_as):
            binaries = binaries.relocate(_copies(run_as))
        options = ClusterOptions(locale=settings.locale or "")
        return cls(settings.root, binaries, run_as, keeper, options, settings.settings)

    @cached_property
    def store(self) -> ImageStore:
        """The cache of images; a read-only one is read, and written beside the servers."""
        return ImageStore(storage.cache_root(), fallback=storage.keeper_root() / "cache")

    @cached_property
    def founding(self) -> Binaries:
        """The programs for work on a data directory without a server, which ask for their user's name."""
        if nameless.has_name(self.run_as.uid):
            return self.binaries
        target = _copies(self.run_as) / f"nameless-{self.binaries.build_id}"
        return nameless.stand_in(self.binaries, target)

    def site(self, handle: ServerHandle) -> BuildSite:
        """Return what the template builder has to know of a server of ours."""
        base = handle.conninfo
        return BuildSite(
            own=True,
            tests=base.with_(user=TEST_ROLE, dbname=""),
            superuser_tests=base.with_(user=SUPERUSER_ROLE, dbname=""),
            build=self.binaries.build_id,
        )

    @staticmethod
    def owner(blueprint: Blueprint) -> str:
        """Return the role that owns the databases of a blueprint."""
        return SUPERUSER_ROLE if blueprint.superuser else TEST_ROLE


def _copies(run_as: RunAs) -> Path:
    return storage.programs_root(lambda place: runas.can_enter(run_as, place))


def remove_place(place: ServerPlace) -> list[Path]:
    """Remove the directories of a server that was never started; root may, whoever they belong to.

    Returns:
        What could not be removed.
    """
    import shutil

    if (place.directory / RECORD).exists():
        return []
    for path in place.paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    return [path for path in place.paths if path.exists()]
