"""What a maker or remover of tenants' databases leaves when it is killed halfway, and its removal.

``CREATE DATABASE`` cannot be undone and leaves no room for our mark, so a database is made under a name that nobody
else gives, which holds its own oid, and gets its mark and its true name in one transaction. Under its true name it is
therefore either whole and marked, or not there. Whoever is next to make or drop that tenant's database removes what has
such a name. The same goes for the name under which a database is dropped.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.core.names import doomed_name
from freshpg.postgres.mark import Mark

if TYPE_CHECKING:
    from freshpg.postgres.database_facts import DatabaseFacts
    from freshpg.postgres.databases import Databases

_logger = logging.getLogger("freshpg.tenants")

# A range, unlike a function of the name, is looked up in the index of pg_database: there may be thousands.
_FIND = """
SELECT datname FROM pg_catalog.pg_database
 WHERE datname >= %s AND datname < %s OR datname >= %s AND datname < %s
"""

# A lock of this kind counts in one database alone, but is seen from all.
_IS_BEING_MADE = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
     WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = %s AND l.objsubid = 1 AND l.granted
       AND d.datname <> pg_catalog.current_database()
)
"""
_HALF = 0xFFFFFFFF


def unborn_name(database: str, oid: int) -> str:
    """Return what a tenant's database with that oid is called until it is whole: ``freshpg_unborn_1f0c…_16385``."""
    return f"{_prefix(database)}{oid}"


def remove_unborn(databases: Databases, database: str, key: int, seconds: float) -> list[str]:
    """Remove what the killed left of a tenant's database, whose lock ``key`` the caller holds; return the names."""
    removed: list[str] = []
    ranges = (_prefix(database), "freshpg_doomed_")
    bounds = [bound for start in ranges for bound in (start, f"{start[:-1]}`")]
    for (name,) in databases.admin.rows(_FIND, bounds):
        facts = databases.find(name)
        # What another role made, or removes at this moment, is in nobody's way.
        with suppress(FreshpgError):
            if facts is not None and _is_left(databases, facts, database, key):
                discard(databases, facts, seconds)
                removed.append(facts.name)
    if removed:
        _logger.info("removed what was left of a killed process: %s", ", ".join(removed))
    return removed


def discard(databases: Databases, facts: DatabaseFacts, seconds: float) -> None:
    """Drop a database whose name, by the oid in it, proves that it was made here."""
    if facts.mark is None:
        # The mark says so to what drops it.
        databases.mark(facts.name, Mark("tenant", blueprint=""), oid=facts.oid)
    databases.drop(facts.name, deadline=seconds, oid=facts.oid)


def _is_left(databases: Databases, facts: DatabaseFacts, database: str, key: int) -> bool:
    if facts.mark is not None:
        return facts.mark.kind == "tenant" and facts.name == doomed_name(facts.oid)
    if facts.name != unborn_name(database, facts.oid):
        return False
    halves = (key >> 32 & _HALF, key & _HALF)
    return not databases.admin.value(_IS_BEING_MADE, halves)


def _prefix(database: str) -> str:
    return f"freshpg_unborn_{hashlib.sha256(database.encode()).hexdigest()[:16]}_"
