"""What is read otherwise than row by row of a catalog: labels of enums, comments, settings, roles, the server. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from freshpg.isolation.audit.deep.catalogs import (
    BUILT_IN,
    FIRST_NORMAL_OID,
    Reading,
    digest,
    total,
)
from freshpg.postgres.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HERE: Final = (
    "(SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())"
)
_OURS: Final = f"(c.objoid >= {FIRST_NORMAL_OID} OR c.classoid = 'pg_largeobject'::regclass)"
_NOT_TEMPORARY: Final = "o.identity !~ '^pg_(toast_)?temp_'"
_OBJECT: Final = (
    "CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.classoid, c.objoid, {0}) o"
    " LEFT JOIN LATERAL pg_catalog.pg_identify_object(c.classoid, c.objoid, 0) w ON true"
)


def special(*, shared: bool, sees_roles: bool, sees_files: bool) -> Iterator[Reading]:
    """Return these readings.

    Args:
        shared: Whether to read what the whole server has in common.
        sees_roles: Whether this role may read ``pg_authid``, passwords included.
        sees_files: Whether it may read ``pg_file_settings``.
    """
    yield from _of_the_database()
    if not shared:
        return
    yield from _of_the_server()
    if not sees_roles:
        yield _reading(
            "role",
            "FROM pg_catalog.pg_roles c WHERE c.rolname !~ '^pg_'",
            name="c.rolname",
            fields={
                column: f"c.{column}"
                for column in (
                    "rolsuper", "rolinherit", "rolcreaterole", "rolcreatedb", "rolcanlogin",
                    "rolreplication", "rolbypassrls", "rolconnlimit", "rolvaliduntil",
                )
            },
        )  # fmt: skip
    if sees_files:
        yield _reading(
            "setting by ALTER SYSTEM",
            "FROM pg_catalog.pg_file_settings c WHERE c.sourcefile ~ 'postgresql[.]auto[.]conf$'",
            name="c.name",
            fields={"value": "c.setting"},
        )


def _of_the_database() -> Iterator[Reading]:
    yield _reading(
        "labels of enum",
        "FROM pg_catalog.pg_enum c GROUP BY c.enumtypid",
        name="c.enumtypid::regtype::text",
        part_of="c.enumtypid::regtype::text",
        fields={"labels": "pg_catalog.array_agg(c.enumlabel::text ORDER BY c.enumsortorder)"},
    )
    for catalog, kind, value in (
        ("pg_description", "comment", "c.description"),
        ("pg_seclabel", "security label", "c.label"),
    ):
        by = " || ' by ' || c.provider" if catalog == "pg_seclabel" else ""
        yield _reading(
            kind,
            f"FROM pg_catalog.{catalog} c {_OBJECT.format('c.objsubid')} WHERE {_OURS} AND {_NOT_TEMPORARY}",
            name="o.type || ' ' || o.identity" + by,
            part_of="w.identity",
            fields={"text": value},
        )
        yield Reading(
            f"{catalog} (built-in)",
            ("rows", "content"),
            f"SELECT {literal(f'{catalog} (built-in)')}, {literal(BUILT_IN)}, {literal(catalog)}, NULL::text,"
            f" ARRAY[pg_catalog.count(*), {total(digest('c.*'))}]::int8[]"
            f" FROM pg_catalog.{catalog} c WHERE NOT ({_OURS})",
        )
    yield _reading(
        "member of extension",
        "FROM pg_catalog.pg_depend c"
        " CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.classid, c.objid, c.objsubid) o"
        " CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.refclassid, c.refobjid, 0) r"
        f" WHERE c.deptype IN ('e', 'x') AND greatest(c.objid, c.refobjid) >= {FIRST_NORMAL_OID}",
        name="r.identity || ': ' || o.type || ' ' || o.identity",
        part_of="r.identity",
        fields={"how": "c.deptype"},
    )
    yield _reading(
        "owner of sequence",
        "FROM pg_catalog.pg_depend c JOIN pg_catalog.pg_class s ON s.oid = c.objid AND s.relkind = 'S'"
        " CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.refclassid, c.refobjid, c.refobjsubid) o"
        " WHERE c.classid = 'pg_class'::regclass AND c.refclassid = 'pg_class'::regclass"
        " AND c.deptype IN ('a', 'i') AND c.objid NOT IN (SELECT oid FROM hidden_relation)",
        name="c.objid::regclass::text",
        part_of="c.objid::regclass::text",
        fields={"column": "o.identity", "how": "c.deptype"},
    )
    yield _reading(
        "user mapping",
        "FROM pg_catalog.pg_user_mappings c",
        name="c.usename || ' on server ' || c.srvname",
        part_of="c.srvname",
        fields={"options": "c.umoptions"},
    )
    yield _settings("setting of database", f"c.setdatabase = {_HERE} AND c.setrole = 0", "s.key")
    yield _settings(
        "setting of role in database",
        f"c.setdatabase = {_HERE} AND c.setrole <> 0",
        "c.setrole::regrole::text || ' ' || s.key",
    )
    yield _reading(
        "prepared transaction",
        "FROM pg_catalog.pg_prepared_xacts c WHERE c.database = pg_catalog.current_database()",
        name="c.gid",
        fields={"owner": "c.owner"},
    )
    yield _reading(
        "replication slot",
        "FROM pg_catalog.pg_replication_slots c WHERE c.database = pg_catalog.current_database()",
        name="c.slot_name::text",
        fields=_SLOT,
    )


_SLOT: Final = {
    "plugin": "c.plugin",
    "type": "c.slot_type",
    "temporary": "c.temporary",
    "two_phase": "c.two_phase",
}


def _of_the_server() -> Iterator[Reading]:
    yield _settings(
        "setting of role", "c.setdatabase = 0", "c.setrole::regrole::text || ' ' || s.key"
    )
    yield _reading(
        "replication slot of server",
        "FROM pg_catalog.pg_replication_slots c WHERE c.database IS NULL",
        name="c.slot_name::text",
        fields=_SLOT,
    )
    for catalog, kind, value in (
        ("pg_shdescription", "comment", "c.description"),
        ("pg_shseclabel", "security label", "c.label"),
    ):
        by = " || ' by ' || c.provider" if catalog == "pg_shseclabel" else ""
        yield _reading(
            kind,
            # Roles made before the first regular start have numbers like built-in ones, so these are no criterion.
            f"FROM pg_catalog.{catalog} c {_OBJECT.format('0')} WHERE c.classoid <> 'pg_database'::regclass",
            name="o.type || ' ' || o.identity" + by,
            part_of="w.identity",
            fields={"text": value},
        )
    yield _reading(
        "setting in force",
        "FROM pg_catalog.pg_settings c WHERE c.source = 'configuration file'",
        name="c.name",
        fields={"value": "c.setting"},
    )


def _settings(kind: str, where: str, name: str) -> Reading:
    pair = "CROSS JOIN LATERAL pg_catalog.unnest(c.setconfig) AS u(pair)"
    halves = (
        "CROSS JOIN LATERAL (SELECT pg_catalog.split_part(u.pair, '=', 1) AS key,"
        " pg_catalog.substr(u.pair, pg_catalog.strpos(u.pair, '=') + 1) AS value) s"
    )
    return _reading(
        kind,
        f"FROM pg_catalog.pg_db_role_setting c {pair} {halves} WHERE {where}",
        name=name,
        fields={"value": "s.value"},
    )


def _reading(
    kind: str, source: str, *, name: str, fields: Mapping[str, str], part_of: str = "NULL"
) -> Reading:
    values = ", ".join(digest(expression) for expression in fields.values())
    return Reading(
        kind,
        tuple(fields),
        f"SELECT {literal(kind)}, {literal(kind)}, ({name})::text, ({part_of})::text,"
        f" ARRAY[{values}]::int8[] {source}",
    )
