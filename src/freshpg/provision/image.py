"""Making the image of a project: a cluster with every template built and a first clone ready."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import FreshpgError, ServerDied, ServerStartFailed, ServerUnreachable
from freshpg.core.events import Progress
from freshpg.core.faults import faultpoint
from freshpg.core.names import template_name
from freshpg.isolation.audit.baseline import Baseline, read_baseline
from freshpg.isolation.cloning import Cloner, CloneSource
from freshpg.isolation.fresh import FRESH, FreshClones
from freshpg.leases.slots import Slot
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.quoting import ident
from freshpg.servers import postmaster, storage, tuning
from freshpg.servers.cluster import create_cluster, single_user
from freshpg.servers.control_file import PATH as CONTROL_FILE
from freshpg.servers.control_file import parse_control_file
from freshpg.servers.images import Image, image_key
from freshpg.templates.builder import TemplateBuilder
from freshpg.templates.fingerprint import best_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freshpg.core.clock import Clock
    from freshpg.core.events import Bus
    from freshpg.provision.plans import Plans
    from freshpg.provision.workplace import Workplace
    from freshpg.servers.postmaster import ServerHandle
    from freshpg.servers.storage import ServerPlace
    from freshpg.templates.builder import Template
    from freshpg.templates.plan import Plan

EMPTY_CLUSTER_BYTES = 40 << 20
"""Room to plan for where no image tells the size yet."""

STOP_SECONDS = 60.0


class ImageMaker:
    """Makes images at one workplace; under the store's build lock, so one process at a time makes one image."""

    def __init__(self, workplace: Workplace, events: Bus, clock: Clock = SYSTEM_CLOCK) -> None:
        self.workplace = workplace
        self.events = events
        self.clock = clock
        self.failures: dict[str, FreshpgError] = {}

    def ensure(self, plans: Plans, *, deadline: float) -> tuple[Image, bool]:
        """Return the image of these plans, made now if there is none, and whether it was made.

        A blueprint that fails is left out, its error kept in :attr:`failures`; the image then has another key and
        serves the rest.

        Raises:
            ServerStartFailed, DiskFull: No cluster could be made or started.
            WaitTimedOut: Another process still made it at the deadline.
        """
        store, build = self.workplace.store, self.workplace.binaries.build_id
        key = self.key(plans)
        if found := store.find(key, build):
            return found, False
        with store.building(key, Deadline(deadline, self.clock), self._say):
            if found := store.find(key, build):
                return found, False
            return self.workplace.keeper.outlived(lambda: self._make(plans)), True

    def key(self, plans: Plans) -> str:
        """Return the key of the image of these plans."""
        return image_key(*self._base_facts(), *plans.determining)

    def _base_facts(self) -> tuple[str, ...]:
        return (self.workplace.binaries.build_id, *self.workplace.options.key)

    def _make(self, plans: Plans) -> Image:
        began = self.clock.monotonic()
        with self._site(plans) as place:
            handle = self._start(place)
            try:
                faultpoint("image.started")
                layered, xid = self._build_templates(handle, plans)
                faultpoint("image.templates_built")
            finally:
                self._shut_down(handle)
            faultpoint("image.shut_down")
            good = plans.without(self.failures)
            seconds = self.clock.monotonic() - began
            if layered:
                # The templates of the migrations alone stay in an image of their own: whoever appends a migration
                # starts from it, and no test has to copy them.
                layers = image_key("layers", self.key(good))
                about = self._about(good, seconds, layered=True)
                self.workplace.store.seal(layers, place.data, **about)
                faultpoint("image.layers_sealed")
                self._drop(place, layered)
                faultpoint("image.layers_dropped")
            about = self._about(good, seconds, fresh=_fresh(place, good, xid))
            return self.workplace.store.seal(self.key(good), place.data, **about)

    @contextmanager
    def _site(self, plans: Plans) -> Iterator[ServerPlace]:
        """Yield a place with the best cluster to start from; everything there is removed afterwards."""
        keeper, run_as = self.workplace.keeper, self.workplace.run_as
        source = self._best_source(plans)
        place = storage.place_server(max(EMPTY_CLUSTER_BYTES, source.manifest.data_bytes))
        keeper.claim(place.paths)
        try:
            place.make(run_as.uid, run_as.gid)
            self.workplace.store.copy_to(source, place.data, run_as)
            faultpoint("image.copied")
            yield place
        finally:
            keeper.stop_place(place)

    def _best_source(self, plans: Plans) -> Image:
        """Return the image that saves most migration steps; the bare cluster when none saves any."""
        best, most = None, 0
        for image in self.workplace.store.list():
            facts = image.manifest.facts
            if image.manifest.build_id != self.workplace.binaries.build_id or not facts:
                continue
            saved = sum(_saved(plan, facts.get("templates", {})) for plan in plans.good.values())
            if facts.get("base") == list(self._base_facts()) and saved > most:
                best, most = image, saved
        if best and (verified := self.workplace.store.find(best.key, best.manifest.build_id)):
            return verified
        return self._bare()

    def _bare(self) -> Image:
        return self.workplace.store.ensure(
            image_key("bare", *self._base_facts()),
            self.workplace.binaries.build_id,
            self._initialise,
            deadline=Deadline(120.0, self.clock),
            waiting=self._say,
        )

    def _initialise(self) -> Image:
        self._say(f"initialising PostgreSQL {self.workplace.binaries.version}")
        began = self.clock.monotonic()
        keeper, run_as = self.workplace.keeper, self.workplace.run_as
        place = storage.place_server(EMPTY_CLUSTER_BYTES)
        keeper.claim(place.paths)
        try:
            place.make(run_as.uid, run_as.gid)
            faultpoint("image.place_made")
            create_cluster(
                self.workplace.founding,
                self.workplace.options,
                place.data,
                run_as,
                Deadline(120.0, self.clock),
            )
            return self.workplace.store.seal(
                image_key("bare", *self._base_facts()),
                place.data,
                build_id=self.workplace.binaries.build_id,
                version=str(self.workplace.binaries.version),
                build_seconds=self.clock.monotonic() - began,
            )
        finally:
            keeper.stop_place(place)

    def _start(self, place: ServerPlace) -> ServerHandle:
        workplace = self.workplace
        settings = tuning.throwaway(workplace.binaries.version.major, overrides=workplace.settings)
        return postmaster.start(
            workplace.keeper.client,
            place,
            workplace.binaries,
            workplace.run_as,
            settings,
            meta={
                "provider": workplace.binaries.origin,
                "version": str(workplace.binaries.version),
                "project": str(workplace.root),
                "purpose": "making an image",
            },
        )

    def _build_templates(self, handle: ServerHandle, plans: Plans) -> tuple[list[str], int]:
        """Build every template and one clone of each.

        Returns:
            The layers that only later builds need, and the first transaction after all of this.
        """
        made: list[Template] = []
        with Admin.connect(handle.conninfo) as admin:
            databases = Databases(admin)
            builder = TemplateBuilder(
                admin, self.workplace.site(handle), events=self.events, clock=self.clock
            )
            for name, plan in sorted(plans.good.items()):
                self._say(f"building the template of {name}")
                try:
                    made.append(builder.ensure(plan.blueprint))
                except (ServerDied, ServerUnreachable):
                    # Not the blueprint's fault: the image is made again when it is next asked for.
                    raise
                except FreshpgError as error:
                    self.failures[name] = error
            wanted = {template.name for template in made}
            self._drop_old_clones(databases)
            for template in made:
                self._first_clone(databases, plans.good[template.blueprint], template)
            others = [
                facts.name
                for facts in databases.all_marked()
                if facts.mark and facts.mark.kind == "template"
            ]
            layers = {_layer_name(plans.good[template.blueprint]) for template in made}
            for name in others:
                builder.release(name)
                if name not in wanted | layers:
                    databases.drop(name)
            admin.execute("CHECKPOINT")
            xid = read_baseline(admin).xid
        return sorted((layers - wanted) & set(others)), xid

    def _drop_old_clones(self, databases: Databases) -> None:
        for facts in databases.all_marked():
            if facts.mark and facts.mark.kind in {"ready", "slot"}:
                databases.drop(facts.name)

    def _first_clone(self, databases: Databases, plan: Plan, template: Template) -> None:
        blueprint = plan.blueprint
        source = CloneSource(
            template=template.name,
            base=blueprint.database,
            blueprint=blueprint.name,
            fingerprint=template.fingerprint,
            owner=self.workplace.owner(blueprint),
        )
        Cloner(databases, source).make(Slot(blueprint.database, 1).name)

    def _shut_down(self, handle: ServerHandle) -> None:
        """Stop the server so that its data directory is consistent; it stays in place."""
        self.workplace.keeper.revive()
        if not handle.alive:
            return
        os.kill(handle.pid, signal.SIGINT)
        limit = Deadline(STOP_SECONDS, self.clock)
        while handle.alive:
            if limit.expired:
                raise ServerStartFailed(
                    "the server that built an image was to be shut down",
                    on=str(handle.directory),
                    seen=f"it still ran after {STOP_SECONDS:g} s\n{handle.log_tail()}",
                    todo=("run again",),
                )
            self.clock.sleep(0.001)

    def _drop(self, place: ServerPlace, names: list[str]) -> None:
        statements = [
            statement
            for name in names
            for statement in (
                f"ALTER DATABASE {ident(name)} IS_TEMPLATE false",
                f"DROP DATABASE {ident(name)}",
            )
        ]
        workplace = self.workplace
        single_user(
            workplace.founding,
            place.data,
            statements,
            run_as=workplace.run_as,
            deadline=Deadline(60.0, self.clock),
        )

    def _about(
        self,
        plans: Plans,
        seconds: float,
        *,
        layered: bool = False,
        fresh: FreshClones | None = None,
    ) -> dict[str, Any]:
        binaries = self.workplace.binaries
        return {
            "build_id": binaries.build_id,
            "version": str(binaries.version),
            "build_seconds": seconds,
            "chains": {name: plan.chain.digests for name, plan in plans.good.items()},
            "templates": {name: plan.fingerprint for name, plan in plans.good.items()},
            "facts": {
                "base": list(self._base_facts()),
                "project": str(self.workplace.root),
                **({FRESH: fresh.to_json()} if fresh else {}),
                "templates": {
                    name: _starts(plan, layers=layered) for name, plan in plans.good.items()
                },
            },
        }

    def _say(self, text: str) -> None:
        self.events.emit(Progress(text))


def fresh_in(image: Image) -> FreshClones | None:
    """Return which clones are fresh on a server that was just started from an image."""
    return FreshClones.from_json(image.manifest.facts.get(FRESH))


def _fresh(place: ServerPlace, plans: Plans, xid: int) -> FreshClones:
    """Return what there is on a server that was shut down; whatever a later one writes comes after its last record."""
    control = parse_control_file((place.data / CONTROL_FILE).read_bytes())
    assert control is not None  # noqa: S101 (a server of ours ran on it)
    bases = [plan.blueprint.database for plan in plans.good.values()]
    names = {base: (Slot(base, 1).name,) for base in bases}
    return FreshClones(names, Baseline(control.checkpoint, xid))


def _starts(plan: Plan, *, layers: bool) -> list[list[Any]]:
    """Return fingerprint and facts of each template of ``plan`` that a later build may start from."""
    has_layer = layers and 0 < plan.seeds < len(plan.steps)
    plans = [plan, plan.without_seeds()] if has_layer else [plan]
    return [[one.fingerprint, one.chain.facts()] for one in plans]


def _saved(plan: Plan, starts: Mapping[str, list[list[Any]]]) -> int:
    """Return how many steps of ``plan`` a cluster with these templates saves."""
    candidates = [
        (str(fingerprint), dict(facts))
        for fingerprint, facts in starts.get(plan.blueprint.name, [])
    ]
    best = best_start(plan.chain, candidates)
    return best[1] if best else 0


def _layer_name(plan: Plan) -> str:
    return template_name(plan.blueprint.database, plan.without_seeds().fingerprint)
