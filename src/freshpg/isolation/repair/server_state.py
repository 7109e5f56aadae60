"""What a superuser's test may leave on the server itself, beside its database: roles, settings, slots.

Only for servers of ours. Little of it shows in WAL (ALTER SYSTEM and slots do not), so it is asked whole; and what a
role or a setting was before can only be known from before, so it is read when the server is first used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.isolation.residue import Change, ObjectResidue
from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.postgres.admin import Admin

Key = tuple[str, ...]
Entries = dict[Key, Any]

_ATTRIBUTES = (
    "SUPERUSER",
    "INHERIT",
    "CREATEROLE",
    "CREATEDB",
    "LOGIN",
    "REPLICATION",
    "BYPASSRLS",
)

_ROLES = """
SELECT r.rolname, ARRAY[r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
       r.rolbypassrls], r.rolconnlimit, r.rolpassword, nullif(r.rolvaliduntil, 'infinity')::text,
       pg_catalog.shobj_description(r.oid, 'pg_authid')
  FROM pg_catalog.pg_authid r WHERE r.rolname !~ '^pg_'
"""
_MEMBERS = """
SELECT g.rolname, m.rolname, a.admin_option FROM pg_catalog.pg_auth_members a
  JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
 WHERE m.rolname !~ '^pg_'
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), pg_catalog.split_part(c.pair, '=', 1),
       pg_catalog.substr(c.pair, pg_catalog.strpos(c.pair, '=') + 1)
  FROM pg_catalog.pg_db_role_setting s
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 CROSS JOIN pg_catalog.unnest(s.setconfig) c(pair)
 WHERE s.setdatabase = 0
"""
_PARAMETERS = """
SELECT p.parname, r.rolname, a.privilege_type FROM pg_catalog.pg_parameter_acl p
 CROSS JOIN pg_catalog.aclexplode(p.paracl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
"""
_SLOTS = "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE NOT temporary AND active_pid IS NULL"
_ORIGINS = "SELECT roname FROM pg_catalog.pg_replication_origin"
_SYSTEM = """
SELECT f.name, f.setting FROM pg_catalog.pg_file_settings f WHERE f.sourcefile LIKE '%postgresql.auto.conf'
"""

LISTS = frozenset(
    {
        "search_path",
        "local_preload_libraries",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
    }
)
"""Settings whose stored value is a list already quoted: https://www.postgresql.org/docs/current/config-setting.html"""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What was there, by kind; each entry by its name."""

    kinds: dict[str, Entries]

    @classmethod
    def read(cls, admin: Admin) -> ServerState:
        """Read it as a superuser.

        Raises:
            FreshpgError: It could not be read.
        """
        return cls(
            {
                "role": {(row[0],): tuple(map(_frozen, row[1:])) for row in admin.rows(_ROLES)},
                "membership": {row[:2]: row[2] for row in admin.rows(_MEMBERS)},
                "setting of role": {row[:2]: row[2] for row in admin.rows(_SETTINGS)},
                "right on a setting": dict.fromkeys(admin.rows(_PARAMETERS), True),
                "replication slot": dict.fromkeys(admin.rows(_SLOTS), True),
                "replication origin": dict.fromkeys(admin.rows(_ORIGINS), True),
                "setting of the system": {row[:1]: row[1] for row in admin.rows(_SYSTEM)},
            }
        )

    def changes(self, now: ServerState) -> Iterator[tuple[str, Key, Change]]:
        """Yield what is other ``now``, roles last but for those that are missing."""
        for kind in reversed(self.kinds):
            before, after = self.kinds[kind], now.kinds[kind]
            for key in sorted(before.keys() | after.keys()):
                if key not in before:
                    yield kind, key, "created"
                elif key not in after:
                    yield kind, key, "dropped"
                elif before[key] != after[key]:
                    yield kind, key, "altered"


def residue_of(before: ServerState, now: ServerState) -> tuple[ObjectResidue, ...]:
    """Return what changed, as it is told."""
    return tuple(
        ObjectResidue(kind, " ".join(key).strip(), change)
        for kind, key, change in before.changes(now)
    )


def restore(admin: Admin, before: ServerState, now: ServerState) -> None:
    """Undo what changed; ``admin`` is a superuser inside the database that the test had.

    Raises:
        FreshpgError: The server refused.
    """
    changes = list(before.changes(now))
    # What a created role owns here goes with it; and a dropped one must be there for what refers to it.
    for kind, key, change in sorted(
        changes, key=lambda one: one[0] == "role" and one[2] == "created"
    ):
        was, is_now = before.kinds[kind].get(key), now.kinds[kind].get(key)
        for statement in _UNDOING[kind](key, change, was, is_now):
            admin.execute(statement)
    if any(kind == "setting of the system" for kind, _, _ in changes):
        admin.execute("SELECT pg_catalog.pg_reload_conf()")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _role(key: Key, change: Change, was: Any, is_now: Any) -> list[str]:
    name = ident(key[0])
    if change == "created":
        return [f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}"]
    flags, limit, password, until, comment = was
    words = [word if flag else f"NO{word}" for word, flag in zip(_ATTRIBUTES, flags, strict=True)]
    words += [
        f"CONNECTION LIMIT {limit}",
        f"PASSWORD {literal(password) if password else 'NULL'}",
    ]
    if until or (is_now and is_now[3]):
        words.append(f"VALID UNTIL {literal(until or 'infinity')}")
    verb = "CREATE" if change == "dropped" else "ALTER"
    return [
        f"{verb} ROLE {name} {' '.join(words)}",
        f"COMMENT ON ROLE {name} IS {literal(comment) if comment else 'NULL'}",
    ]


def _membership(key: Key, change: Change, was: Any, _now: Any) -> list[str]:
    group, member = map(ident, key)
    grant = f"GRANT {group} TO {member}" + (" WITH ADMIN OPTION" if was else "")
    revoke = f"REVOKE {group} FROM {member}"
    return [revoke] if change == "created" else [grant] if change == "dropped" else [revoke, grant]


def _setting(key: Key, change: Change, was: Any, _now: Any) -> list[str]:
    role, name = key
    whose = ident(role) if role else "ALL"
    if change == "created":
        return [f"ALTER ROLE {whose} RESET {_name(name)}"]
    return [f"ALTER ROLE {whose} SET {_name(name)} TO {was if name in LISTS else literal(was)}"]


def _right(key: Key, change: Change, _was: Any, _now: Any) -> list[str]:
    name, role, right = key
    verb, word = ("REVOKE", "FROM") if change == "created" else ("GRANT", "TO")
    return [f"{verb} {right} ON PARAMETER {_name(name)} {word} {ident(role)}"]


def _slot(key: Key, change: Change, _was: Any, _now: Any) -> list[str]:
    if change != "created":
        return []
    return [f"SELECT pg_catalog.pg_drop_replication_slot({literal(key[0])})"]


def _origin(key: Key, change: Change, _was: Any, _now: Any) -> list[str]:
    verb = "drop" if change == "created" else "create"
    return [f"SELECT pg_catalog.pg_replication_origin_{verb}({literal(key[0])})"]


def _system(key: Key, change: Change, was: Any, _now: Any) -> list[str]:
    if change == "created":
        return [f"ALTER SYSTEM RESET {_name(key[0])}"]
    return [f"ALTER SYSTEM SET {_name(key[0])} = {was if key[0] in LISTS else literal(was)}"]


def _name(setting: str) -> str:
    return ".".join(map(ident, setting.split(".")))


_UNDOING: dict[str, Callable[[Key, Change, Any, Any], list[str]]] = {
    "role": _role,
    "membership": _membership,
    "setting of role": _setting,
    "right on a setting": _right,
    "replication slot": _slot,
    "replication origin": _origin,
    "setting of the system": _system,
}
