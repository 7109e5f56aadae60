"""What is true of every fresh clone of a template: read once a process, from a clone that nobody has used.

Cloning copies files, by either strategy, so a clone has its template's relation files, row versions and transaction
numbers under the same names: what WAL and ``xmin`` say of one clone can be read with the facts of another.
https://www.postgresql.org/docs/current/sql-createdatabase.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from freshpg.isolation.audit.questions import content_of
from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.postgres.admin import Admin

MOST_BYTES_CLEARED = 64 * 2**20
"""In a table with more no rows are undone: to find them it is read several times, and a fresh clone costs less."""

OF_DATABASES = frozenset({"pg_database", "pg_shdepend", "pg_shdescription", "pg_db_role_setting"})
"""Shared catalogs that making clones in the background writes all the time: what they say of ours is asked by name."""

UNSEEN_CATALOGS = frozenset({"pg_statistic", "pg_statistic_ext_data"})
"""Catalogs that ANALYZE writes and that are no content."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table with rows of its own.

    Attributes:
        oid: As in ``pg_class``.
        name: ``public.cart``, for people.
        sql: The same, quoted.
        rows: How many the template has.
        unlogged: WAL does not show what is written to it.
        large: Reading it takes so long that a fresh clone costs less than undoing what was written to it.
        armed: Its rows cannot simply be put back: a materialized view, or triggers and rules that fire even in a session
            that replays.
        columns: Those that ``COPY`` may fill, quoted.
    """

    oid: int
    name: str
    sql: str
    rows: int
    unlogged: bool
    large: bool
    armed: bool
    columns: tuple[str, ...]

    @property
    def hard(self) -> bool:
        """Whether a change to it is not undone by deleting and filling."""
        return self.armed or self.large


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """A sequence and the state the template has it in.

    ``hidden`` ones may give values without a trace in WAL; values of ``cached`` ones may lie in any session.
    """

    oid: int
    name: str
    sql: str
    last_value: int
    is_called: bool
    unlogged: bool
    hidden: bool
    cached: bool

    @property
    def given(self) -> int | None:
        """The last value it gave; None when it has given none."""
        return self.last_value if self.is_called else None


OwnerKind = Literal["table", "sequence", "catalog", "other"]

_KINDS: dict[str, OwnerKind] = {"r": "table", "m": "table", "S": "sequence"}


@dataclass(frozen=True, slots=True)
class Owner:
    """What a relation file belongs to: a table (its indexes and toast included), a sequence or a catalog."""

    kind: OwnerKind
    oid: int
    name: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything an audit compares with.

    Attributes:
        tables: Tables with rows of their own, by oid; partitioned ones have none.
        sequences: By oid.
        catalogs: Rows visible in each catalog of the database, by name.
        shared: The same for the catalogs that all databases share.
        owners: What each relation file of the database belongs to, by file number.
        relations: The same by the oid of the relation, be it table, index, toast or sequence.
        shared_owners: Names of the shared catalogs, by file number.
        itself: Owner, rights and settings of the database, as one text.
        blind: What this role cannot see change where WAL is not read; empty when it sees everything.
    """

    tables: Mapping[int, TableFacts]
    sequences: Mapping[int, SequenceFacts]
    catalogs: Mapping[str, int]
    shared: Mapping[str, int]
    owners: Mapping[int, Owner]
    relations: Mapping[int, Owner]
    shared_owners: Mapping[int, str]
    itself: str
    blind: str = ""


DATABASE_ITSELF = """
SELECT pg_catalog.concat_ws(' ', d.datdba::pg_catalog.regrole, d.datacl, d.datconnlimit,
         pg_catalog.strpos(pg_catalog.shobj_description(d.oid, 'pg_database'), d.oid::text) > 0,
         (SELECT pg_catalog.string_agg(s.setrole::pg_catalog.regrole || ' ' || s.setconfig::text, ' ' ORDER BY s.setrole)
            FROM pg_catalog.pg_db_role_setting s
           WHERE s.setdatabase = d.oid OR s.setdatabase = 0 AND s.setrole = d.datdba))
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
"""What the server knows of a database besides its name: whether it has its mark, and its owner's own settings, are part.
"""


SERVER_STATE = frozenset(
    {"pg_authid", "pg_auth_members", "pg_parameter_acl", "pg_replication_origin"}
)
"""Shared catalogs that are compared by content where tests may write them, see ``repair.server_state``."""


def read_facts(admin: Admin, *, own: bool, superusers: bool = False) -> Facts:
    """Read them through a control connection inside a fresh clone.

    On somebody else's server roles and the like are not ours to compare: others change them at any time.
    """
    tables = _tables(admin)
    sequences = _sequences(admin)
    catalogs, shared = _catalogs(admin)
    owners, relations, shared_owners = _owners(admin)
    itself = str(admin.value(DATABASE_ITSELF))
    blind = ""
    if "pg_largeobject" not in catalogs and catalogs.get("pg_largeobject_metadata"):
        blind = "the template has large objects, whose data this role may not read"
    if superusers:
        shared = {name: rows for name, rows in shared.items() if name not in SERVER_STATE}
    return Facts(
        tables,
        sequences,
        catalogs,
        shared if own else {},
        owners,
        relations,
        shared_owners,
        itself,
        blind,
    )


_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'u', pg_catalog.pg_relation_size(c.oid),
       c.relkind = 'm' OR EXISTS (SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgrelid = c.oid AND t.tgenabled IN ('A', 'R'))
       OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r
                   WHERE r.ev_class = c.oid AND r.ev_enabled IN ('A', 'R') AND r.ev_type <> '1'),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
 ORDER BY n.nspname, c.relname
"""


def _tables(admin: Admin) -> dict[int, TableFacts]:
    found = admin.rows(_TABLES)
    counted = [row for row in found if row[4] > 0]
    rows = {row[0]: 0 for row in found}
    if counted:
        rows |= dict(
            admin.rows(
                " UNION ALL ".join(
                    f"SELECT {oid}::bigint, count(*) FROM ONLY {ident(schema)}.{ident(name)}"
                    for oid, schema, name, *_ in counted
                )
            )
        )
    return {
        oid: TableFacts(
            oid,
            f"{schema}.{name}",
            f"{ident(schema)}.{ident(name)}",
            rows[oid],
            unlogged,
            size > MOST_BYTES_CLEARED,
            armed,
            tuple(ident(column) for column in columns),
        )
        for oid, schema, name, unlogged, size, armed, columns in found
    }


_SEQUENCES = """
SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'u', s.seqcache > 1
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't'
 ORDER BY n.nspname, c.relname
"""


def _sequences(admin: Admin) -> dict[int, SequenceFacts]:
    found = admin.rows(_SEQUENCES)
    if not found:
        return {}
    states = {
        oid: (last_value, is_called, logged_ahead)
        for oid, last_value, is_called, logged_ahead in admin.rows(
            " UNION ALL ".join(
                f"SELECT {oid}::bigint, last_value, is_called, log_cnt > 0"
                f" FROM {ident(schema)}.{ident(name)}"
                for oid, schema, name, *_ in found
            )
        )
    }
    # A sequence logs 32 values ahead and gives them without a trace, until a checkpoint. Copying files makes one, so
    # that a clone's first value is logged; copying through the log does not, and that is done where fsync is on.
    # https://github.com/postgres/postgres/blob/master/src/backend/commands/sequence.c (nextval_internal)
    keeps_ahead = admin.value("SELECT pg_catalog.current_setting('fsync')") == "on"
    return {
        oid: SequenceFacts(
            oid,
            f"{schema}.{name}",
            f"{ident(schema)}.{ident(name)}",
            states[oid][0],
            states[oid][1],
            unlogged,
            unlogged or (keeps_ahead and states[oid][2]),
            cached,
        )
        for oid, schema, name, unlogged, cached in found
    }


_CATALOGS = """
SELECT relname, relisshared FROM pg_catalog.pg_class
 WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::pg_catalog.regnamespace
   AND pg_catalog.has_table_privilege(oid, 'SELECT')
"""


def _catalogs(admin: Admin) -> tuple[dict[str, int], dict[str, int]]:
    shared: dict[str, bool] = dict(admin.rows(_CATALOGS))
    names = [name for name in shared if name not in UNSEEN_CATALOGS]
    counts: dict[str, int] = dict(
        admin.rows(
            " UNION ALL ".join(
                f"SELECT '{name}', count(*) FROM {content_of(name)}" for name in names
            )
        )
    )
    return (
        {name: counts[name] for name in names if not shared[name]},
        {name: counts[name] for name in names if shared[name] and name not in OF_DATABASES},
    )


_OWNERS = """
WITH files AS (
  SELECT c.oid, c.relkind, c.relisshared, pg_catalog.pg_relation_filenode(c.oid) AS file,
         coalesce(i.indrelid, c.oid) AS heap
    FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
   WHERE c.relkind IN ('r', 'm', 'i', 't', 'S') AND c.relpersistence <> 't'
)
SELECT f.file, f.oid, f.relisshared, o.oid, o.relname, o.relkind,
       o.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
  FROM files f
  LEFT JOIN pg_catalog.pg_class toasted ON toasted.reltoastrelid = f.heap
  JOIN pg_catalog.pg_class o ON o.oid = coalesce(toasted.oid, f.heap)
"""


def _owners(admin: Admin) -> tuple[dict[int, Owner], dict[int, Owner], dict[int, str]]:
    by_file: dict[int, Owner] = {}
    by_relation: dict[int, Owner] = {}
    shared: dict[int, str] = {}
    for file, relation, is_shared, oid, name, relkind, is_catalog in admin.rows(_OWNERS):
        if is_shared:
            shared[file] = name
        else:
            owner = Owner("catalog" if is_catalog else _KINDS.get(relkind, "other"), oid, name)
            by_file[file] = by_relation[relation] = owner
    return by_file, by_relation, shared
