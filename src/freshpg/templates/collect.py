"""Old templates of a server: listed, and collected by age and count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freshpg.postgres.databases import Databases
from freshpg.templates import locks
from freshpg.templates.leftovers import sweep_unfinished
from freshpg.templates.records import TemplateRecord, record_of

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin

KEEP = 5
"""Templates kept for each blueprint and database name: the branches one switches between."""

MAX_AGE = 30 * 24 * 3600.0
"""Seconds since its last use after which a template goes even when few are left."""


def list_templates(admin: Admin) -> list[TemplateRecord]:
    """Return every finished template of ours with its size, last used first."""
    records = [found for one in Databases(admin).all_marked() if (found := record_of(one))]
    sizes: dict[str, int] = dict(
        admin.rows(
            "SELECT datname, pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = ANY(%s)",
            ([one.name for one in records],),
        )
    )
    measured = [
        replace(
            one,
            size=sizes.get(one.name, 0),
            in_use=bool(locks.holders_of(admin, locks.use_key(one.name))),
        )
        for one in records
    ]
    return sorted(measured, key=lambda one: (-one.used, one.name))


def too_old(
    records: list[TemplateRecord],
    *,
    now: float,
    keep: int = KEEP,
    max_age: float = MAX_AGE,
) -> list[TemplateRecord]:
    """Return which templates are to go: all but the last ``keep`` used of each name, and those unused for ``max_age``."""
    kept: dict[str, int] = {}
    going = []
    for one in sorted(records, key=lambda one: -one.used):
        family = one.name.rpartition("_template_")[0]
        kept[family] = kept.get(family, 0) + 1
        if kept[family] > keep or now - one.used > max_age:
            going.append(one)
    return going


def collect(databases: Databases, *, keep: int = KEEP, max_age: float = MAX_AGE) -> list[str]:
    """Remove old templates and what killed builders left; return their names. One in use is never touched.

    Args:
        databases: The server's.
        keep: How many to keep for each database name.
        max_age: Seconds since the last use.
    """
    records = [found for one in databases.all_marked() if (found := record_of(one))]
    removed = sweep_unfinished(databases)
    for one in too_old(records, now=databases.clock.time(), keep=keep, max_age=max_age):
        if _remove(databases, one):
            removed.append(one.name)
    return removed


def _remove(databases: Databases, record: TemplateRecord) -> bool:
    """Remove one unless somebody builds or uses it."""
    admin = databases.admin
    build, use = locks.build_key(record.name), locks.use_key(record.name)
    if not locks.try_lock(admin, build):
        return False
    try:
        # A session's own shared lock does not stop it from taking the same one alone.
        if locks.holders_of(admin, use) or not locks.try_lock(admin, use):
            return False
        try:
            again = databases.find(record.name)
            return bool(
                again
                and again.mark
                and again.mark.fingerprint == record.fingerprint
                and databases.drop(record.name)
            )
        finally:
            locks.unlock(admin, use)
    finally:
        locks.unlock(admin, build)
