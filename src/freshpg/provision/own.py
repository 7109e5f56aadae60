"""Servers of ours: a warm one, or one started from the project's image."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.conninfo import DEFAULT_PORT
from freshpg.core.errors import KeeperFailed, ServerStartFailed
from freshpg.core.events import ServerReady
from freshpg.core.faults import faultpoint
from freshpg.isolation.fresh import FRESH, FreshClones
from freshpg.postgres.admin import Admin
from freshpg.provision.image import ImageMaker, fresh_in
from freshpg.provision.loopback import Loopback
from freshpg.provision.plans import Plans
from freshpg.provision.running import RunningServer
from freshpg.provision.workplace import LazyKeeper, Workplace
from freshpg.servers import discovery, extensions, postmaster, storage, tuning
from freshpg.servers.images import image_key
from freshpg.servers.postmaster import ServerHandle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.errors import FreshpgError
    from freshpg.core.events import Bus
    from freshpg.core.settings import Settings
    from freshpg.servers.discovery import Choice
    from freshpg.servers.images import Image
    from freshpg.templates.blueprint import Blueprint

BUILD_WAIT = 900.0
"""Seconds to wait for another process that makes the same image."""

IMAGE_AGE = 30 * 86400.0
"""Seconds since its last use after which an image goes."""

PORT_TRIES = 3
"""Ports to try when any will do: another program may take one between our look and the server's start."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a server for one user alone differs from the shared kind.

    Args:
        tcp_port: Port on 127.0.0.1 to listen on as well; 0 for one that is free.
        replicating: Whether it may replicate and commit in two phases.
        purpose: Why it is there, for ``freshpg status``.
    """

    tcp_port: int | None = None
    replicating: bool = False
    purpose: str = ""


class OwnServers:
    """Gives out servers of ours that have the templates of a project's blueprints."""

    def __init__(
        self,
        settings: Settings,
        choice: Choice,
        blueprints: Iterable[Blueprint],
        *,
        events: Bus,
        holder: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        assert choice.binaries is not None  # noqa: S101 (the caller chose a provider of ours)
        self.settings = settings
        self.choice = choice
        self.events = events
        self.clock = clock
        self.keeper = LazyKeeper(f"{settings.root.name} {holder}".strip())
        self.keeper.spawn()
        self.workplace = Workplace.choose(settings, choice.binaries, self.keeper)
        self.plans = Plans.read(
            blueprints, build=self.workplace.binaries.build_id, check=self._require_extensions
        )
        self._maker = ImageMaker(self.workplace, events, clock)

    @property
    def failures(self) -> dict[str, FreshpgError]:
        """Why some blueprints have no template, by name."""
        return {**self.plans.bad, **self._maker.failures}

    @property
    def image_key(self) -> str:
        """The key of the image that a server with the project's templates as they are now is started from."""
        return self._maker.key(self.plans)

    def prepare(self) -> None:
        """Make that image if there is none, so that a server starts at once.

        Raises:
            FreshpgError: What kept a template from being built.
        """
        self._image()
        for problem in self.failures.values():
            raise problem

    def shared(self) -> RunningServer:
        """Return a server that other tests of this process may share: a warm one, else one from the image."""
        began = self.clock.monotonic()
        running = self.keeper.outlived(lambda: self._warm() or self._from_image(Variant()))
        self.events.emit(
            ServerReady(
                running.provider,
                running.version,
                running.how,
                self.clock.monotonic() - began,
                running.why,
            )
        )
        return running

    def private(self, variant: Variant) -> RunningServer:
        """Return a server that nobody else will ever use."""
        return self.keeper.outlived(lambda: self._from_image(variant))

    def give_back(
        self, running: RunningServer, *, linger: float, left: Mapping[str, Any] | None = None
    ) -> None:
        """Give a server back: warm for ``linger`` seconds with what is ``left`` on it, or gone on return."""
        if running.handle is None:
            return
        # Without any keeper the next one ends the server.
        with suppress(KeeperFailed):
            self.keeper.revive()
            running.handle.release(linger=linger, left=left)

    def revive(self) -> None:
        """Have a successor take over from a keeper that has died; again is fine."""
        self.keeper.revive()

    def close(self) -> None:
        """Leave the keeper."""
        self.keeper.close()

    def _require_extensions(self, blueprint: Blueprint) -> None:
        binaries = self.workplace.binaries
        if not extensions.missing(binaries, blueprint.extensions):
            return
        # Only now is it worth asking every provider what else this machine has.
        everything = discovery.resolve(
            discovery.providers_for("auto", cache_root=storage.cache_root()), ask_all=True
        )
        extensions.require(binaries, blueprint.extensions, everything.binaries_seen)

    def _key(self, image_name: str) -> str:
        settings = sorted(f"{name}={value}" for name, value in self.settings.settings.items())
        return image_key("server", image_name, *settings)

    def _warm(self) -> RunningServer | None:
        if self.keeper.starting:
            return None
        record = self.keeper.client.take(self._key(self._maker.key(self.plans)))
        if record is None:
            return None
        handle = ServerHandle.of(self.keeper.client, record)
        return self._running(handle, "warm", FreshClones.from_json(record.left.get(FRESH)))

    def _from_image(self, variant: Variant) -> RunningServer:
        image, made = self._image()
        how = "initdb" if made else "image"
        if variant.tcp_port is None:
            handle, loopback = self._start(image, variant), None
        else:
            handle, loopback = self._listening(image, variant)
        return self._running(handle, how, fresh_in(image), loopback)

    def _listening(self, image: Image, variant: Variant) -> tuple[ServerHandle, Loopback]:
        """Start a server that tests reach over 127.0.0.1."""
        tries = PORT_TRIES if variant.tcp_port == 0 else 1
        handle, loopback = self._start_listening(image, variant, tries)
        try:
            with Admin.connect(handle.conninfo) as admin:
                loopback.open(admin)
            faultpoint("loopback.opened")
        except BaseException:
            handle.stop()
            raise
        return handle, loopback

    def _start_listening(
        self, image: Image, variant: Variant, tries: int
    ) -> tuple[ServerHandle, Loopback]:
        loopback = Loopback.at(variant.tcp_port or 0)
        try:
            return self._start(image, variant, loopback), loopback
        except ServerStartFailed:
            if tries == 1:
                raise
            return self._start_listening(image, variant, tries - 1)

    def _image(self) -> tuple[Image, bool]:
        image, made = self._maker.ensure(self.plans, deadline=BUILD_WAIT)
        self.plans = self.plans.without(self._maker.failures)
        if made:
            self.workplace.store.collect(
                max_count=self.settings.images_max,
                max_bytes=self.settings.images_max_size,
                max_age=IMAGE_AGE,
                protect={image.key},
            )
        return image, made

    def _start(
        self, image: Image, variant: Variant, loopback: Loopback | None = None
    ) -> ServerHandle:
        workplace = self.workplace
        place = storage.place_server(image.manifest.data_bytes)
        self.keeper.claim(place.paths)
        try:
            faultpoint("own.claimed")
            place.make(workplace.run_as.uid, workplace.run_as.gid)
            workplace.store.copy_to(image, place.data, workplace.run_as)
            faultpoint("own.copied")
            alone = variant != Variant()
            return postmaster.start(
                self.keeper.client,
                place,
                workplace.binaries,
                workplace.run_as,
                tuning.throwaway(
                    workplace.binaries.version.major,
                    replicating=variant.replicating,
                    overrides=self.settings.settings,
                ),
                port=loopback.port if loopback else DEFAULT_PORT,
                tcp=loopback is not None,
                # A server with a key may be taken by anybody later; a private one has a key nobody can know.
                key=secrets.token_hex(16) if alone else self._key(image.key),
                meta=self._meta(image, variant, loopback),
            )
        except BaseException:
            self.keeper.stop_place(place)
            raise

    def _meta(self, image: Image, variant: Variant, loopback: Loopback | None) -> dict[str, Any]:
        """Return what the keeper notes, in a file that only our user reads, for whoever looks for the server later."""
        return {
            "provider": self.choice.provider,
            "version": str(self.workplace.binaries.version),
            "project": str(self.settings.root),
            "image": image.key,
            "purpose": variant.purpose,
            "loopback": [loopback.port, loopback.password] if loopback else None,
        }

    def _running(
        self,
        handle: ServerHandle,
        how: str,
        fresh: FreshClones | None,
        loopback: Loopback | None = None,
    ) -> RunningServer:
        return RunningServer(
            provider=self.choice.provider,
            version=str(self.workplace.binaries.version),
            how=how,
            why=self.choice.why,
            coordination=handle.conninfo,
            site=self.workplace.site(handle),
            handle=handle,
            templates={name: plan.fingerprint for name, plan in self.plans.good.items()},
            query_bytes=(
                None
                if "track_activity_query_size" in self.settings.settings
                else tuning.QUERY_BYTES
            ),
            loopback=loopback,
            fresh=fresh,
        )
