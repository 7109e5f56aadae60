"""Relations whose rows were written to a new file, and nothing else about them changed: TRUNCATE does that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.isolation.audit.objects import FIRST_USER_OID
from freshpg.isolation.audit.questions import NEWS

if TYPE_CHECKING:
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.facts import Facts, Owner
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine

_OF_THE_FILE = "relfilenode,relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,reltoastrelid"
"""Columns of ``pg_class`` that say where rows are and how many about: https://www.postgresql.org/docs/current/catalog-pg-class.html"""

DEFINITIONS = f"""
SELECT c.oid, pg_catalog.md5((pg_catalog.to_jsonb(c) - '{{{_OF_THE_FILE}}}'::pg_catalog.text[])::pg_catalog.text)
  FROM pg_catalog.pg_class c WHERE c.oid >= {FIRST_USER_OID}
"""
"""What else is said of each relation."""


def rewritten(inside: Inside, pristine: Pristine, baseline: Baseline) -> dict[int, Owner] | None:
    """Return what belongs to each new file, or None where a relation changed in more than its file.

    For when ``pg_class`` is the only catalog that differs.

    Raises:
        FreshpgError: It could not be asked.
    """
    facts = pristine.facts()
    there = _definitions(inside, baseline)
    if not there or len(there) != _news(inside, baseline):
        return None
    if _count(inside) != facts.catalogs["pg_class"]:
        return None
    before = pristine.definitions()
    if any(before.get(oid) != definition for oid, (_, definition) in there.items()):
        return None
    return _owners(facts, there)


def _owners(facts: Facts, there: dict[int, tuple[int, str]]) -> dict[int, Owner] | None:
    if not there.keys() <= facts.relations.keys():
        return None
    return {file: facts.relations[oid] for oid, (file, _) in there.items()}


def _definitions(inside: Inside, baseline: Baseline) -> dict[int, tuple[int, str]]:
    query = DEFINITIONS.replace(
        "SELECT c.oid,", "SELECT c.oid, pg_catalog.pg_relation_filenode(c.oid),"
    )
    rows = inside.admin.rows(f"{query} AND {_is_news(baseline, 'c.')}")
    return {oid: (file or 0, definition) for oid, file, definition in rows}


def _news(inside: Inside, baseline: Baseline) -> int:
    """Count all news, PostgreSQL's own relations included."""
    news = _is_news(baseline, "")
    return int(inside.admin.value(f"SELECT count(*) FROM pg_catalog.pg_class WHERE {news}"))


def _count(inside: Inside) -> int:
    return int(inside.admin.value("SELECT count(*) FROM pg_catalog.pg_class"))


def _is_news(baseline: Baseline, prefix: str) -> str:
    return NEWS.replace("$1", f"'{baseline.xid_text}'").replace("xmin", f"{prefix}xmin")
