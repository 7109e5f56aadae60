"""What builders that were killed left in a server, and the proof it takes to remove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.faults import faultpoint
from freshpg.core.names import building_name
from freshpg.templates import locks
from freshpg.templates.records import attempt_token, building_mark

if TYPE_CHECKING:
    from freshpg.postgres.databases import Databases
    from freshpg.templates.plan import Plan


def remove_leftovers(databases: Databases, plan: Plan, template: str, *, own: bool) -> list[str]:
    """Remove what earlier builders of this template left; the caller holds its build lock.

    A database with our mark is proof enough. One without was left between CREATE DATABASE and the mark: it is ours
    when the server is, or when its name stands in an intent. Only names made for this very template are looked at,
    so the live builder of another one is never disturbed.
    """
    attempts = building_name(plan.blueprint.database, attempt_token(plan.fingerprint, ""))
    removed = []
    for facts in (*databases.find_starting(attempts), *databases.find_starting(template)):
        if facts.mark is None:
            if not (own or facts.name in databases.intents.pending()):
                continue
            mark = building_mark(plan, template, now=databases.clock.time())
            databases.mark(facts.name, mark, oid=facts.oid)
            faultpoint("leftover.marked")
        elif facts.name != template and facts.mark.facts.get("template") != template:
            continue
        databases.drop(facts.name)
        faultpoint("leftover.dropped")
        databases.intents.close(facts.name)
        removed.append(facts.name)
    return removed


def sweep_unfinished(databases: Databases) -> list[str]:
    """Remove every half-built template whose builder is gone; return their names."""
    removed = []
    for facts in databases.all_marked():
        template = str(facts.mark.facts.get("template", "")) if facts.mark else ""
        if not facts.mark or facts.mark.kind != "building" or not template:
            continue
        key = locks.build_key(template)
        if not locks.try_lock(databases.admin, key):
            continue
        try:
            # The builder may have finished and renamed it between the listing and the lock.
            again = databases.find(facts.name)
            if again and again.oid == facts.oid and again.mark and again.mark.kind == "building":
                databases.drop(facts.name)
                faultpoint("unfinished.dropped")
                databases.intents.close(facts.name)
                removed.append(facts.name)
        finally:
            locks.unlock(databases.admin, key)
    return removed
