"""What belongs to a database but is stored outside it, and so is not copied by CREATE DATABASE … TEMPLATE.

https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.postgres.quoting import ident, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.postgres.admin import Admin

_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
"""Settings whose stored value is a list of quoted names: given back as one literal they would become one name.
The same six as in pg_dump: variable_is_guc_list_quote in src/bin/pg_dump/dumputils.c."""

_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(?:,|$)')
_PRIVILEGES = {"CREATE", "CONNECT", "TEMPORARY"}


@dataclass(frozen=True, slots=True)
class Extras:
    """What one database has beside its contents: ``(role or "", key, value)`` and ``(role or "", privilege, grantable)``.

    ``grants`` is ``None`` where nobody ever changed the rights a new database starts with.
    """

    settings: tuple[tuple[str, str, str], ...]
    grants: tuple[tuple[str, str, bool], ...] | None

    def statements(self, target: str) -> list[str]:
        """Return what repeats all of it on a new database of the same owner."""
        return [*self._settings(target), *self._grants(target)]

    def _settings(self, target: str) -> Iterator[str]:
        for role, key, value in self.settings:
            whose = (
                f"ROLE {ident(role)} IN DATABASE {ident(target)}"
                if role
                else f"DATABASE {ident(target)}"
            )
            yield f"ALTER {whose} SET {ident(key)} = {_value(key, value)}"

    def _grants(self, target: str) -> Iterator[str]:
        if self.grants is None:
            return
        # A database starts with CONNECT and TEMPORARY for everybody; a source that lost them says so by silence.
        yield f"REVOKE ALL ON DATABASE {ident(target)} FROM PUBLIC"
        for role, privilege, grantable in self.grants:
            who = ident(role) if role else "PUBLIC"
            option = " WITH GRANT OPTION" if grantable else ""
            yield f"GRANT {privilege} ON DATABASE {ident(target)} TO {who}{option}"


def read_extras(admin: Admin, source: str) -> Extras:
    """Read what ``ALTER DATABASE … SET``, ``ALTER ROLE … IN DATABASE … SET`` and ``GRANT`` did to a database."""
    settings = admin.rows(
        """
        SELECT coalesce(r.rolname, ''), setting
          FROM pg_catalog.pg_db_role_setting s
          JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
          LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
          CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS setting
         WHERE d.datname = %s
        """,
        (source,),
    )
    pairs = ((str(role), str(setting).partition("=")) for role, setting in settings)
    grants = admin.rows(
        """
        SELECT CASE WHEN acl.grantee = 0 THEN '' ELSE g.rolname END, acl.privilege_type, acl.is_grantable
          FROM pg_catalog.pg_database d
          LEFT JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS acl ON acl.grantee <> d.datdba
          LEFT JOIN pg_catalog.pg_roles g ON g.oid = acl.grantee
         WHERE d.datname = %s AND d.datacl IS NOT NULL
        """,
        (source,),
    )
    return Extras(
        settings=tuple((role, key, value) for role, (key, _, value) in pairs),
        grants=tuple(row for row in grants if row[0] is not None and row[1] in _PRIVILEGES)
        if grants
        else None,
    )


def _value(key: str, value: str) -> str:
    if key.lower() not in _LISTS:
        return literal(value)
    return ", ".join(literal(name) for name in _elements(value)) or "''"


def _elements(value: str) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(value) and (match := _ELEMENT.match(value, position)):
        quoted, plain = match.groups()
        found.append(quoted.replace('""', '"') if quoted is not None else plain.strip())
        position = match.end()
    return found
