"""How the rows of each system catalog are read: every column counts unless it is named here, with the reason.

So a catalog or column of a PostgreSQL to come is compared without anybody adding it. Names of objects come from
``pg_identify_object``, references from the catalogs' own list (``pg_get_catalog_foreign_keys``): an equal object made
anew counts as equal. https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Rule:
    """How one catalog is read; SQL speaks of its row as ``c``.

    Args:
        name: SQL of the row's name; by default what ``pg_identify_object`` says, which gives the kind as well.
        kind: Its kind in words, together with ``name``.
        own: SQL of the oid that tells built-in rows from the user's.
        part_of: SQL of the name of the object it goes with.
        volatile: Columns that are never compared, with the reason.
        covered: Columns whose numbers mean nothing by themselves, said in words by one of ``extra``.
        extra: SQL of further things that count, by what they are.
        where: SQL of which rows count.
        shared: Whether the whole server has it in common.
    """

    name: str = ""
    kind: str = ""
    own: str = "c.oid"
    part_of: str = ""
    volatile: Mapping[str, str] = field(default_factory=dict)
    covered: frozenset[str] = frozenset()
    extra: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    shared: bool = False


_HINT = "kept up lazily: stays true until the next VACUUM"
_SPACE = "where and how wide something lies, not what it is"
_BOOKS = "VACUUM's and ANALYZE's own books"
_OID = "a number, the name stands for it"

OID: Final = {"oid": _OID}
"""What no catalog's row is compared by."""

SKIPPED: Final[Mapping[str, str]] = {
    "pg_attrdef": "said with its column",
    "pg_db_role_setting": "read setting by setting, see special.py",
    "pg_depend": "follows from the definitions; membership and ownership are read, see special.py",
    "pg_description": "read by the name of the object, see special.py",
    "pg_enum": "read as a list of labels, see special.py",
    "pg_largeobject": "read as data, see contents.py",
    "pg_seclabel": "read by the name of the object, see special.py",
    "pg_shdepend": "follows from owners and privileges",
    "pg_shdescription": "read by the name of the object, see special.py",
    "pg_shseclabel": "read by the name of the object, see special.py",
    "pg_statistic": "ANALYZE changes plans, not content",
    "pg_statistic_ext_data": "ANALYZE changes plans, not content",
    "pg_user_mapping": "only superusers may read it, everybody its view, see special.py",
}

_RELATION = "c.{0}::oid::regclass::text"

RULES: Final[Mapping[str, Rule]] = {
    "pg_aggregate": Rule(
        kind="aggregate definition",
        name="c.aggfnoid::oid::regprocedure::text",
        part_of="c.aggfnoid::oid::regprocedure::text",
        own="c.aggfnoid",
    ),
    "pg_attribute": Rule(
        kind="column",
        name=f"{_RELATION.format('attrelid')} || '.' || pg_catalog.quote_ident(c.attname)",
        part_of=_RELATION.format("attrelid"),
        own="c.attrelid",
        where="c.attnum > 0 AND NOT c.attisdropped",
        volatile={
            "attcacheoff": "used in memory alone",
            "atthasmissing": "how ADD COLUMN avoids to write rows: the rows are read",
            "attmissingval": "how ADD COLUMN avoids to write rows: the rows are read",
        },
        covered=frozenset({"attnum"}),
        extra={
            # A dropped column leaves a number behind: the place among the living is what a query can see.
            "position": "pg_catalog.row_number() OVER (PARTITION BY c.attrelid ORDER BY c.attnum)",
            "default": "(SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d"
            " WHERE d.adrelid = c.attrelid AND d.adnum = c.attnum)",
            "type": "pg_catalog.format_type(c.atttypid, c.atttypmod)",
        },
    ),
    "pg_auth_members": Rule(
        kind="membership",
        name="c.member::regrole::text || ' in ' || c.roleid::regrole::text || ' by ' || c.grantor::regrole::text",
        own="16384",
        shared=True,
    ),
    "pg_authid": Rule(
        kind="role",
        name="c.rolname::text",
        # A role made before the first regular start has a number like a built-in one.
        own="CASE WHEN c.rolname ~ '^pg_' THEN 0 ELSE 16384 END",
        shared=True,
    ),
    "pg_class": Rule(
        where="c.relkind NOT IN ('t')",
        volatile={
            "relfilenode": _SPACE,
            "relpages": _BOOKS,
            "reltuples": _BOOKS,
            "relallvisible": _BOOKS,
            "relallfrozen": _BOOKS,
            "relfrozenxid": _BOOKS,
            "relminmxid": _BOOKS,
            "relrewrite": "set while a table is being rewritten",
            "relhasindex": _HINT,
            "relhasrules": _HINT,
            "relhastriggers": _HINT,
            "relhassubclass": _HINT,
            "relnatts": "counts dropped columns, which nobody can see",
        },
        covered=frozenset({"relpartbound", "reltoastrelid"}),
        extra={
            "partition bound": "pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            "storage of long values": "(SELECT pg_catalog.row_to_json(ROW(t.reloptions))::text"
            " FROM pg_catalog.pg_class t WHERE t.oid = c.reltoastrelid)",
        },
        # An index or a table's own sequence goes with its table; partitions and children stand alone.
        part_of="coalesce((SELECT i.indrelid::regclass::text FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid),"
        " (SELECT d.refobjid::regclass::text FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND c.relkind = 'S'"
        " AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.deptype IN ('a', 'i')))",
    ),
    "pg_constraint": Rule(
        part_of="coalesce(nullif(c.conrelid, 0)::regclass::text, nullif(c.contypid, 0)::regtype::text)",
        covered=frozenset(
            {
                "conkey",
                "confkey",
                "conpfeqop",
                "conppeqop",
                "conffeqop",
                "confdelsetcols",
                "conexclop",
                "conbin",
            }
        ),
        extra={
            "definition": "pg_catalog.pg_get_constraintdef(c.oid)",
            # A superuser's DISABLE TRIGGER ALL switches a foreign key off without touching the constraint.
            "triggers": "(SELECT pg_catalog.string_agg(t.tgfoid::regproc::text || t.tgenabled::text, ',' ORDER BY"
            " t.tgfoid, t.tgenabled) FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgisinternal)",
        },
    ),
    "pg_database": Rule(
        kind="database",
        name="'this one'",
        own="16384",
        where="c.datname = pg_catalog.current_database()",
        volatile={
            "datname": "it was connected to by this name",
            "datfrozenxid": _BOOKS,
            "datminmxid": _BOOKS,
            "dathasloginevt": _HINT,
        },
    ),
    "pg_foreign_table": Rule(
        kind="foreign table options",
        name=_RELATION.format("ftrelid"),
        part_of=_RELATION.format("ftrelid"),
        own="c.ftrelid",
    ),
    "pg_index": Rule(
        kind="index definition",
        name=_RELATION.format("indexrelid"),
        part_of=_RELATION.format("indexrelid"),
        own="c.indexrelid",
        volatile={"indcheckxmin": "about transactions that were open when it was built"},
        covered=frozenset(
            {"indkey", "indcollation", "indclass", "indoption", "indexprs", "indpred"}
        ),
        extra={"definition": "pg_catalog.pg_get_indexdef(c.indexrelid)"},
    ),
    "pg_inherits": Rule(
        kind="inheritance",
        name=f"{_RELATION.format('inhrelid')} || ' of ' || {_RELATION.format('inhparent')}",
        part_of=_RELATION.format("inhrelid"),
        own="c.inhrelid",
    ),
    "pg_init_privs": Rule(
        kind="initial privileges",
        name="(SELECT o.type || ' ' || o.identity"
        " FROM pg_catalog.pg_identify_object(c.classoid, c.objoid, c.objsubid) o)",
        part_of="(SELECT o.identity FROM pg_catalog.pg_identify_object(c.classoid, c.objoid, 0) o)",
        own="c.objoid",
        covered=frozenset({"objoid", "classoid"}),
    ),
    # Its number is its name, and the user may choose a small one.
    "pg_largeobject_metadata": Rule(kind="large object", name="c.oid::text", own="16384"),
    "pg_parameter_acl": Rule(shared=True),
    "pg_partitioned_table": Rule(
        kind="partition key",
        name=_RELATION.format("partrelid"),
        part_of=_RELATION.format("partrelid"),
        own="c.partrelid",
        covered=frozenset({"partattrs", "partclass", "partcollation", "partexprs"}),
        extra={"definition": "pg_catalog.pg_get_partkeydef(c.partrelid)"},
    ),
    "pg_policy": Rule(
        part_of=_RELATION.format("polrelid"),
        covered=frozenset({"polqual", "polwithcheck"}),
        extra={
            "using": "pg_catalog.pg_get_expr(c.polqual, c.polrelid)",
            "with check": "pg_catalog.pg_get_expr(c.polwithcheck, c.polrelid)",
        },
    ),
    "pg_proc": Rule(
        covered=frozenset({"proargdefaults", "prosqlbody"}),
        extra={
            # An aggregate has no text of its own; its row in pg_aggregate says all.
            "definition": "CASE WHEN c.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(c.oid) END",
        },
    ),
    "pg_publication_rel": Rule(
        covered=frozenset({"prqual", "prattrs"}),
        extra={
            "rows": "pg_catalog.pg_get_expr(c.prqual, c.prrelid)",
            "columns": "(SELECT pg_catalog.array_agg(a.attname ORDER BY a.attname) FROM pg_catalog.pg_attribute a"
            " WHERE a.attrelid = c.prrelid AND a.attnum = ANY (c.prattrs))",
        },
    ),
    "pg_range": Rule(
        kind="range definition",
        name="c.rngtypid::regtype::text",
        part_of="c.rngtypid::regtype::text",
        own="c.rngtypid",
    ),
    "pg_replication_origin": Rule(
        kind="replication origin",
        name="c.roname",
        own="16384",
        volatile={"roident": _OID},
        shared=True,
    ),
    "pg_rewrite": Rule(
        part_of=_RELATION.format("ev_class"),
        covered=frozenset({"ev_qual", "ev_action"}),
        extra={"definition": "pg_catalog.pg_get_ruledef(c.oid)"},
    ),
    "pg_sequence": Rule(
        kind="sequence definition",
        name=_RELATION.format("seqrelid"),
        part_of=_RELATION.format("seqrelid"),
        own="c.seqrelid",
    ),
    "pg_statistic_ext": Rule(
        part_of=_RELATION.format("stxrelid"),
        covered=frozenset({"stxkeys", "stxexprs"}),
        extra={"definition": "pg_catalog.pg_get_statisticsobjdef(c.oid)"},
    ),
    "pg_subscription": Rule(
        where="c.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())",
        covered=frozenset({"subdbid"}),
    ),
    "pg_subscription_rel": Rule(
        kind="subscribed table",
        name=_RELATION.format("srrelid"),
        part_of=_RELATION.format("srrelid"),
        own="c.srrelid",
        volatile={"srsublsn": "a position in the log"},
    ),
    "pg_tablespace": Rule(shared=True),
    "pg_trigger": Rule(
        where="NOT c.tgisinternal",
        part_of=_RELATION.format("tgrelid"),
        covered=frozenset({"tgattr", "tgargs", "tgqual"}),
        extra={"definition": "pg_catalog.pg_get_triggerdef(c.oid)"},
    ),
    "pg_ts_config_map": Rule(
        kind="text search mapping",
        name="c.mapcfg::regconfig::text || ' token ' || c.maptokentype || ' ' || c.mapseqno",
        part_of="c.mapcfg::regconfig::text",
        own="c.mapcfg",
    ),
    "pg_type": Rule(
        part_of="coalesce(nullif(c.typrelid, 0)::regclass::text,"
        " CASE WHEN c.typcategory = 'A' THEN nullif(c.typelem, 0)::regtype::text END,"
        " (SELECT r.rngtypid::regtype::text FROM pg_catalog.pg_range r WHERE r.rngmultitypid = c.oid))",
        covered=frozenset({"typdefaultbin"}),
        extra={"default": "pg_catalog.pg_get_expr(c.typdefaultbin, 0)"},
    ),
}
"""Catalogs that need more than the general way."""
