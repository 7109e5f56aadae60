"""Templates inside a running server, each built exactly once however many processes ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from freshpg.core.clock import SYSTEM_CLOCK, Deadline
from freshpg.core.errors import BlueprintInvalid, FreshpgError, NotOurs
from freshpg.core.events import Bus, Progress, TemplateReady
from freshpg.core.names import template_name
from freshpg.postgres.databases import Databases
from freshpg.templates import locks
from freshpg.templates.fingerprint import best_start
from freshpg.templates.leftovers import remove_leftovers
from freshpg.templates.plan import plan_of
from freshpg.templates.records import record_of, touched
from freshpg.templates.workshop import Workshop

if TYPE_CHECKING:
    from freshpg.core.clock import Clock
    from freshpg.core.conninfo import Conninfo
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.database_facts import DatabaseFacts, Intents
    from freshpg.postgres.databases import Strategy
    from freshpg.templates.blueprint import Blueprint
    from freshpg.templates.plan import Plan

How = Literal["reused", "layered", "built"]

_TOUCH_EVERY = 3600.0
"""Seconds between two notes of a template's last use: a comment is a write, and a suite may run every minute."""


@dataclass(frozen=True, slots=True)
class Template:
    """A finished template; ``seconds`` is how long this caller waited for it."""

    name: str
    fingerprint: str
    blueprint: str
    how: How
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildSite:
    """What must be known of the server that templates are built on.

    Args:
        own: Whether the server is ours alone, so that every database on it is.
        tests: How the test role connects; ``dbname`` does not matter.
        superuser_tests: The same for blueprints with ``superuser = true``; ``None`` where there is no such role.
        build: The server's build, part of every fingerprint; its version when empty.
        base: Database that a template without predecessor is copied from. Must be as ``initdb`` left it.
    """

    own: bool
    tests: Conninfo
    superuser_tests: Conninfo | None = None
    build: str = ""
    base: str = "template0"

    @property
    def strategy(self) -> Strategy:
        """How databases are copied; FILE_COPY forces checkpoints, which are dear where fsync is on."""
        return "file_copy" if self.own else "wal_log"


class TemplateBuilder:
    """Finds or builds templates through one control connection to the coordination database.

    The connection holds a shared lock on every template it returned: as long as it lives, nobody collects them.
    """

    def __init__(
        self,
        admin: Admin,
        site: BuildSite,
        *,
        intents: Intents | None = None,
        events: Bus | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.admin = admin
        self.site = site
        self.events = events or Bus()
        self.clock = clock
        self.databases = Databases(admin, intents=intents, own=site.own, clock=clock)
        self._in_use: set[str] = set()

    def plan(self, blueprint: Blueprint) -> Plan:
        """Read everything a blueprint names and return its steps and fingerprint; nothing is made.

        Raises:
            MigrationMissing, MigrationUnreadable, BlueprintInvalid: See :func:`~freshpg.templates.plan.plan_of`.
        """
        owner = self._tests(blueprint).user
        return plan_of(blueprint, build=self._build_of(blueprint), owner=owner)

    def ensure(
        self, blueprint: Blueprint, *, wait: float | None = None, layers: bool = True
    ) -> Template:
        """Return the template of a blueprint, built now if there is none.

        Args:
            blueprint: What to build.
            wait: Seconds to wait for another builder of the same template; the blueprint's deadline by default.
            layers: Whether a blueprint with seeds also keeps the template of its migrations alone.

        Raises:
            TemplateError: A migration, seed or extension failed, or another builder took too long.
            NotOurs: A database of somebody else has the template's name.
        """
        started = Deadline(blueprint.deadline if wait is None else wait, self.clock)
        template = self._ensure(self.plan(blueprint), started, layers=layers)
        template = replace(template, seconds=started.elapsed)
        self.events.emit(
            TemplateReady(blueprint.name, template.fingerprint, template.how, template.seconds)
        )
        return template

    def release(self, template: str) -> None:
        """Say that this process no longer needs a template it got."""
        if template in self._in_use:
            self._in_use.discard(template)
            locks.unshare(self.admin, locks.use_key(template))

    def _ensure(self, plan: Plan, wait: Deadline, *, layers: bool) -> Template:
        name = template_name(plan.blueprint.database, plan.fingerprint)
        if self._take(name, plan):
            return self._template(name, plan, "reused")
        lock = locks.locked(
            self.admin,
            locks.build_key(name),
            what=f"the template {name}, which another process builds",
            deadline=wait,
            waiting=lambda who: self.events.emit(
                Progress(f"waiting for the builder of {name}: {who}")
            ),
        )
        with lock:
            if self._take(name, plan):
                return self._template(name, plan, "reused")
            remove_leftovers(self.databases, plan, name, own=self.site.own)
            if layers and 0 < plan.seeds < len(plan.steps):
                # Costs one more database (7 MB and up) and one clone; saves all migrations when only a seed changes
                # or a migration is appended, which would otherwise have to start from nothing.
                self._ensure(plan.without_seeds(), wait, layers=False)
            return self._build(name, plan)

    def _build(self, name: str, plan: Plan) -> Template:
        source, skip = self._best_source(plan)
        workshop = Workshop(
            self.databases,
            plan,
            tests=self._tests(plan.blueprint),
            strategy=self.site.strategy,
            deadline=Deadline(plan.blueprint.deadline, self.clock),
            events=self.events,
        )
        try:
            workshop.build(name, source=source or self.site.base, skip=skip)
        finally:
            if source:
                self.release(source)
        self._take(name, plan)
        how: How = "layered" if source else "built"
        return replace(self._template(name, plan, how), notes=tuple(workshop.notes))

    def _best_source(self, plan: Plan) -> tuple[str, int]:
        """Return the template that saves most steps, taken into use, and how many; ``("", 0)`` for none."""
        records = [found for one in self.databases.all_marked() if (found := record_of(one))]
        best = best_start(plan.chain, [(one.fingerprint, one.facts) for one in records])
        if best is None or not self._share(records[best[0]].name):
            return "", 0
        return records[best[0]].name, best[1]

    def _take(self, name: str, plan: Plan) -> bool:
        """Take a finished template into use; the lock comes first, so that no collector can come between."""
        if not self._share(name):
            return False
        good = False
        try:
            facts = self.databases.find(name)
            if facts and self._is_good(facts, plan):
                good = True
                self._touch(facts)
        finally:
            if not good and not self.admin.closed:
                self.release(name)
        return good

    def _is_good(self, facts: DatabaseFacts, plan: Plan) -> bool:
        record = record_of(facts)
        if record is None:
            if facts.mark is None and not self._may_remove(facts.name):
                raise NotOurs(
                    "a template was looked for",
                    on=facts.name,
                    seen="a database of this name exists and does not carry freshpg's mark",
                    todo=(
                        "drop it yourself if nobody needs it",
                        "or give the blueprint another database name",
                    ),
                    name=facts.name,
                )
            return False
        return record.fingerprint == plan.fingerprint

    def _may_remove(self, name: str) -> bool:
        return self.site.own or name in self.databases.intents.pending()

    def _build_of(self, blueprint: Blueprint) -> str:
        build = self.site.build or str(self.admin.server_version)
        if self.site.own or not blueprint.extensions:
            return build
        # The build names a whole installation of ours; elsewhere a package of an extension is upgraded alone.
        rows = self.admin.rows(
            "SELECT name, default_version FROM pg_catalog.pg_available_extensions WHERE name = ANY(%s) ORDER BY name",
            (list(blueprint.extensions),),
        )
        return " ".join((build, *(f"{name}={version}" for name, version in rows)))

    def _touch(self, facts: DatabaseFacts) -> None:
        record, now = record_of(facts), self.clock.time()
        # A server of ours lives as long as a run; its image remembers its own last use.
        if self.site.own or not record or not facts.mark or now - record.used < _TOUCH_EVERY:
            return
        key = locks.build_key(facts.name)
        if not locks.try_lock(self.admin, key):
            return
        try:
            self.databases.mark(facts.name, touched(facts.mark, now), oid=facts.oid)
        except FreshpgError:
            # Only the age in a listing suffers.
            return
        finally:
            locks.unlock(self.admin, key)

    def _share(self, name: str) -> bool:
        if name in self._in_use:
            return True
        if not locks.try_share(self.admin, locks.use_key(name)):
            return False
        self._in_use.add(name)
        return True

    def _tests(self, blueprint: Blueprint) -> Conninfo:
        if not blueprint.superuser:
            return self.site.tests
        if self.site.superuser_tests is None:
            raise BlueprintInvalid(
                "a blueprint wants its tests to connect as a superuser",
                on=f"blueprint {blueprint.name!r}",
                seen="freshpg has no superuser on this server",
                todo=(
                    "remove superuser = true",
                    'or use a server of freshpg\'s own: server = "auto"',
                ),
                blueprint=blueprint.name,
            )
        return self.site.superuser_tests

    def _template(self, name: str, plan: Plan, how: How) -> Template:
        return Template(name, plan.fingerprint, plan.blueprint.name, how, 0.0)
