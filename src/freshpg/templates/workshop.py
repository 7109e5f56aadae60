"""One template under construction: from an empty or copied database to a sealed one."""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import ExtensionMissing, FreshpgError, StatementFailed
from freshpg.core.events import Progress
from freshpg.core.faults import faultpoint
from freshpg.core.names import building_name
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import ident
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.extensions import extension_missing
from freshpg.templates.records import attempt_token, building_mark, template_mark
from freshpg.templates.trial import try_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.clock import Deadline
    from freshpg.core.conninfo import Conninfo
    from freshpg.core.events import Bus
    from freshpg.postgres.databases import Databases, Strategy
    from freshpg.templates.plan import Plan

_ROLLBACK_PATIENCE = 10.0

_FILLED_TABLES = """
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.relpages > 0 AND c.oid >= 16384
   AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
 ORDER BY c.oid
"""


class Workshop:
    """Builds one template; on any failure nothing of it is left."""

    def __init__(
        self,
        databases: Databases,
        plan: Plan,
        *,
        tests: Conninfo,
        strategy: Strategy,
        deadline: Deadline,
        events: Bus,
    ) -> None:
        self.databases = databases
        self.admin = databases.admin
        self.plan = plan
        self.tests = tests
        self.strategy: Strategy = strategy
        self.deadline = deadline
        self.events = events
        self.name = self._attempt()
        self.notes: list[str] = []

    def build(self, template: str, *, source: str, skip: int) -> None:
        """Make the database called ``template`` from a copy of ``source`` that has the first ``skip`` steps.

        Raises:
            TemplateError: An extension, migration or seed failed or did not end in time.
        """
        with self._nothing_left_on_failure():
            self.databases.create(
                self.name,
                building_mark(self.plan, template, now=self.databases.clock.time()),
                owner=self.tests.user,
                template=source,
                strategy=self.strategy,
            )
            # A copy of a template of ours has them: its fingerprint covers the same extensions.
            faultpoint("template.created")
            if not skip:
                self._create_extensions()
            for number, step in enumerate(self.plan.steps[skip:], skip + 1):
                self._tell(f"{step.spec} ({number} of {len(self.plan.steps)})")
                step.apply(self._target(), self.deadline)
                faultpoint("template.step_applied")
            self._end_leftovers()
            self._settle()
            faultpoint("template.settled")
            self._seal()
            faultpoint("template.sealed")
            self._try_out(template)
            # Named first, marked last: whatever dies before the mark is still "building", and ours to remove.
            self.databases.rename(self.name, template)
            self.name = template
            faultpoint("template.renamed")
            now = self.databases.clock.time()
            mark = template_mark(self.plan, now=now, seconds=self.deadline.elapsed)
            self.databases.mark(template, mark)
            faultpoint("template.marked")

    @contextmanager
    def _nothing_left_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Interrupts too. The failure is what the user must see; a second one while cleaning up is only noted,
            # and the next run finds the database by its mark.
            try:
                self.databases.drop(self.name, deadline=_ROLLBACK_PATIENCE)
            except FreshpgError as second:
                self._tell(f"the half-built {self.name} could not be removed: {second.seen}")
            raise

    def _create_extensions(self) -> None:
        names = self.plan.blueprint.extensions
        if not names:
            return
        with self._inside() as inside:
            # Not WITH SCHEMA public: an extension whose control file names its schema refuses any other.
            inside.execute("SET search_path = public")
            for name in names:
                try:
                    inside.execute(f"CREATE EXTENSION IF NOT EXISTS {ident(name)} CASCADE")
                except StatementFailed as error:
                    raise self._missing(name, error) from None

    def _missing(self, name: str, error: StatementFailed) -> ExtensionMissing:
        return extension_missing(
            name,
            seen=error.seen,
            on=f"extensions of blueprint {self.plan.blueprint.name!r}",
            server_version=self.admin.server_version,
        )

    def _end_leftovers(self) -> None:
        left = self.databases.clear_holders(
            self.name, deadline=_ROLLBACK_PATIENCE, in_the_making=True
        )
        # Sessions of the steps' own kinds carry our name and were closed: their backends are just on the way out.
        strangers = [one for one in left if not one.application.startswith("freshpg")]
        self.notes += [f"a step left a session open, it was ended: {one}" for one in strangers]

    def _settle(self) -> None:
        """Write hint bits and statistics once, here, so that no clone has to."""
        with self._inside() as inside:
            inside.execute("VACUUM (FREEZE)")
            # The catalogs are left out: analyzing them takes longer (0.1 s) than all the rest of an empty template.
            filled = inside.rows(_FILLED_TABLES)
            if filled:
                names = ", ".join(f"{ident(schema)}.{ident(table)}" for schema, table in filled)
                inside.execute(f"ANALYZE {names}")
        # VACUUM invalidates pg_internal.init and the next session writes it again: FILE_COPY clones then take it along,
        # and their own first session is 1 to 2 ms cheaper.
        self._inside().close()

    def _seal(self) -> None:
        self.databases.seal(self.name)
        # Background workers and pools may have come in until just now, and can no more.
        self.databases.clear_holders(self.name, deadline=_ROLLBACK_PATIENCE, in_the_making=True)

    def _try_out(self, template: str) -> None:
        """Let nobody have a clone of it before one was seen to work; see :mod:`freshpg.templates.trial`."""
        # Like another attempt: should this be killed, the next builder finds it by its name and its mark.
        name = self._attempt()

        def clone() -> None:
            self.databases.drop(name)
            self.databases.create(
                name,
                building_mark(self.plan, template, now=self.databases.clock.time()),
                owner=self.tests.user,
                template=self.name,
                strategy=self.strategy,
            )

        try:
            try_out(
                template,
                self.tests.with_(dbname=name),
                clone=clone,
                server_lives=lambda: self.admin.alive,
            )
        except BaseException:
            with suppress(FreshpgError):
                self.databases.drop(name, deadline=_ROLLBACK_PATIENCE)
            raise
        self.databases.drop(name, deadline=_ROLLBACK_PATIENCE)

    def _attempt(self) -> str:
        token = attempt_token(self.plan.fingerprint, secrets.token_hex(3))
        return building_name(self.plan.blueprint.database, token)

    def _inside(self) -> Admin:
        return Admin.connect(
            self.admin.conninfo.with_(dbname=self.name),
            application_name="freshpg template builder",
            statement_timeout=max(1.0, self.deadline.remaining),
        )

    def _target(self) -> Target:
        return Target(
            conninfo=self.tests.with_(dbname=self.name),
            admin=lambda: Admin.connect(self.admin.conninfo, application_name="freshpg diagnosis"),
            root=self.plan.blueprint.root,
            notes=self.notes,
        )

    def _tell(self, text: str) -> None:
        self.events.emit(Progress(f"template of {self.plan.blueprint.database}: {text}"))
