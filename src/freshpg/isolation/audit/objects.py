"""Which objects changed, by the names PostgreSQL gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.isolation.audit.questions import NEWS
from freshpg.isolation.residue import Change, ObjectResidue
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from freshpg.isolation.audit.baseline import Baseline
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine

FIRST_USER_OID = 16384
"""Below, objects are PostgreSQL's own: https://www.postgresql.org/docs/current/system-catalog-initial-data.html"""

_WITH_OID = """
SELECT a.attrelid::pg_catalog.regclass::text FROM pg_catalog.pg_attribute a
 WHERE a.attname = 'oid' AND a.attnum > 0 AND a.attrelid = ANY (%s::pg_catalog.regclass[])
"""

_NAMELESS = frozenset({"pg_enum"})
"""Catalogs whose rows PostgreSQL has no names for."""

_IMPLIED = {
    "pg_depend",
    "pg_shdepend",
    "pg_attribute",
    "pg_type",
    "pg_attrdef",
    "pg_index",
    "pg_sequence",
    "pg_inherits",
}
"""Catalogs that change along with an object that is named by another one."""


def changed_objects(
    inside: Inside, pristine: Pristine, catalogs: frozenset[str], baseline: Baseline
) -> tuple[ObjectResidue, ...]:
    """Return what was created, dropped and altered; a catalog's own name where no object can be told.

    Raises:
        FreshpgError: It could not be looked up.
    """
    names = [f"pg_catalog.{name}" for name in sorted(catalogs)]
    with_oid = {str(name).rpartition(".")[2] for (name,) in inside.admin.rows(_WITH_OID, (names,))}
    found: list[ObjectResidue] = []
    for catalog in sorted(with_oid - _NAMELESS):
        found += _changed(inside, pristine, catalog, baseline)
    told = [thing for thing in dict.fromkeys(found) if not _is_implied(thing, found)]
    if "pg_attribute" in catalogs and not told:
        told += _altered_tables(inside, baseline)
    silent = catalogs - (with_oid - _NAMELESS) - _IMPLIED
    return (*told, *(ObjectResidue(name, "", "altered") for name in sorted(silent))) or tuple(
        ObjectResidue(name, "", "altered") for name in sorted(catalogs)
    )


def identities(catalog: str, where: str = "true") -> str:
    """Return a query for oid, kind and name of what a catalog lists."""
    # Large objects go by the name of the catalog that holds their data.
    named_by = "pg_largeobject" if catalog == "pg_largeobject_metadata" else catalog
    return (
        f"SELECT c.oid, i.type, i.identity FROM pg_catalog.{ident(catalog)} c,"
        f" pg_catalog.pg_identify_object({literal('pg_catalog.' + named_by)}::pg_catalog.regclass, c.oid, 0) i"
        f" WHERE {where}"
    )


def _changed(
    inside: Inside, pristine: Pristine, catalog: str, baseline: Baseline
) -> list[ObjectResidue]:
    news = NEWS.replace("$1", f"'{baseline.xid_text}'").replace("xmin", "c.xmin")
    before = pristine.identities(catalog)
    there = {oid for (oid,) in inside.admin.rows(f"SELECT oid FROM pg_catalog.{ident(catalog)}")}
    found = []
    for oid, kind, name in inside.admin.rows(identities(catalog, news)):
        change: Change = "altered" if oid in before else "created"
        found.append(ObjectResidue(str(kind), str(name), change))
    found += [ObjectResidue(*before[oid], "dropped") for oid in sorted(before.keys() - there)]
    return found


def _altered_tables(inside: Inside, baseline: Baseline) -> list[ObjectResidue]:
    news = NEWS.replace("$1", f"'{baseline.xid_text}'")
    rows = inside.admin.rows(
        f"SELECT DISTINCT attrelid::pg_catalog.regclass::text FROM pg_catalog.pg_attribute WHERE {news}"
    )
    return [ObjectResidue("table", str(name), "altered") for (name,) in rows]


def _is_implied(thing: ObjectResidue, all_found: list[ObjectResidue]) -> bool:
    """Return whether it comes with a table: its row type, its array type, its toast."""
    if "pg_toast." in thing.name:
        return True
    if thing.kind != "type":
        return False
    return any(
        other.kind != "type" and other.name == thing.name.removesuffix("[]") for other in all_found
    ) or thing.name.endswith("[]")
