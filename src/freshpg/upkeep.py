"""Verbs on single parts of a database that is out: put its sequences back, empty some of its tables."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from freshpg.core.errors import UsageInvalid, WaitTimedOut
from freshpg.isolation.audit.inside import Inside
from freshpg.postgres.admin import Admin
from freshpg.postgres.schema.fk_graph import FkGraph
from freshpg.postgres.schema.reader import read_schema
from freshpg.postgres.schema.rows import copy_rows
from freshpg.postgres.schema.sequences import (
    State,
    first_state,
    read_states,
    reset_sequences,
)
from freshpg.postgres.schema.truncation import TruncatePlan, truncate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from freshpg.core.conninfo import Conninfo
    from freshpg.handle import Database

SequencesTo = Literal["template", "one"]

_HOLDERS = """
SELECT DISTINCT a.pid, a.usename, a.application_name, a.state, pg_catalog.left(a.query, 200)
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.relation = ANY (%s::pg_catalog.oid[]) AND l.granted AND a.pid <> pg_catalog.pg_backend_pid()
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
 ORDER BY a.pid
"""


class Upkeep:
    """Acts on one database at a time, from a control connection inside it that has read its mark. For any thread.

    Args:
        beside: Lends a fresh clone of a blueprint, by the address of the control role.
    """

    def __init__(self, beside: Callable[[str], AbstractContextManager[Conninfo]]) -> None:
        self._beside = beside
        self._lock = threading.Lock()
        self._states: dict[str, dict[str, State]] = {}

    def reset_sequences(
        self, database: Database, address: Conninfo, *, own: bool, to: SequencesTo
    ) -> tuple[str, ...]:
        """Put the sequences that stand elsewhere into the template's state, or to 1; return their names.

        Raises:
            UsageInvalid: ``to`` is neither, or the database is shared.
        """
        _require_target(to)
        _require_a_database_of_its_own(database, "sequences were to be put back")
        with _open(address, own=own) as inside:
            schema = read_schema(inside.admin)
            if to == "one":
                wanted = {one.oid: first_state(one) for one in schema.sequences}
            else:
                states = self._template_states(database.blueprint)
                wanted = {one.oid: states[one.sql] for one in schema.sequences if one.sql in states}
            moved = reset_sequences(inside.admin, schema, wanted)
        return tuple(one.qualified for one in moved)

    def truncate(
        self,
        database: Database,
        address: Conninfo,
        names: Iterable[str],
        *,
        own: bool,
        restore_seed: bool,
        dry_run: bool,
        deadline: float,
    ) -> TruncatePlan:
        """Empty tables and what references them, in one transaction; see :meth:`Database.truncate`."""
        if not dry_run:
            _require_a_database_of_its_own(database, "tables were to be emptied")
            _require_no_outer_transaction(database)
        with _open(address, own=own) as inside:
            schema = read_schema(inside.admin)
            tables = [schema.table(name) for name in names]
            plan = truncate(inside.admin, schema, tables, dry_run=True)
            if dry_run or not plan.tables:
                return plan
            try:
                with inside.admin.connection.transaction():
                    inside.admin.execute(f"SET LOCAL lock_timeout = {max(1, int(deadline * 1000))}")
                    plan = truncate(inside.admin, schema, tables)
                    if restore_seed:
                        plan = replace(plan, restored=self._restore(database, inside.admin, plan))
            except WaitTimedOut as error:
                raise _blocked(inside.admin, plan, error, deadline) from error
        return plan

    def _template_states(self, blueprint: str) -> dict[str, State]:
        with self._lock:
            if blueprint not in self._states:
                with self._beside(blueprint) as address, Admin.connect(address) as admin:
                    sequences = read_schema(admin).sequences
                    states = read_states(admin, sequences)
                # By name: a server of the test's own may have the same template under other oids.
                self._states[blueprint] = {
                    one.sql: states[one.oid] for one in sequences if one.oid in states
                }
            return self._states[blueprint]

    def _restore(self, database: Database, target: Admin, plan: TruncatePlan) -> int:
        emptied = {one.table.sql for one in plan.tables}
        target.execute("SET CONSTRAINTS ALL DEFERRED")
        with self._beside(database.blueprint) as address, Admin.connect(address) as source:
            order = FkGraph(read_schema(source)).insertion_order()
            return sum(
                copy_rows(source, target, table)
                for table in order
                if table.kind == "r" and table.sql in emptied
            )


def _open(address: Conninfo, *, own: bool) -> AbstractContextManager[Inside]:
    return closing(Inside.open(address, own=own))


def _require_target(to: str) -> None:
    if to not in get_args(SequencesTo):
        raise UsageInvalid(
            "sequences were to be put back",
            on=repr(to),
            seen="there is no such state to put them in",
            todo=(
                "to='template' puts them where the template has them",
                "to='one' lets them begin again",
            ),
        )


def _require_a_database_of_its_own(database: Database, failed: str) -> None:
    if database.isolation == "readonly":
        raise UsageInvalid(
            failed,
            on=database.name,
            seen="it has isolation 'readonly': other tests read it at the same time",
            todo=("ask for isolation 'reset' or 'clone' in this test",),
        )


def _require_no_outer_transaction(database: Database) -> None:
    if database.isolation == "rollback":
        raise UsageInvalid(
            "tables were to be emptied",
            on=database.name,
            seen="it has isolation 'rollback': a truncation from another connection would be committed",
            todo=(
                "run TRUNCATE … CASCADE on the test's connection; truncate(…, dry_run=True) says what it reaches",
                "or ask for isolation 'reset' in this test",
            ),
        )


def _blocked(
    admin: Admin, plan: TruncatePlan, error: WaitTimedOut, deadline: float
) -> WaitTimedOut:
    rows = admin.rows(_HOLDERS, ([one.table.oid for one in plan.tables],))
    holders = tuple(
        f"pid {pid} {user} {application!r} {state}: {query}"
        for pid, user, application, state, query in rows
    )
    return WaitTimedOut(
        f"waited {deadline:g} s for the locks that emptying {len(plan.tables)} tables takes",
        on=admin.conninfo.safe(),
        seen="\n".join(holders) or error.seen,
        todo=("commit or roll back what uses these tables, then empty them",),
        holders=holders,
    )
