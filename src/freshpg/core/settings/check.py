"""Checks of whole settings: each value by its kind, then those that concern each other."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import (
    BlueprintInvalid,
    FreshpgError,
    IsolationUnknown,
    NameInvalid,
    SettingsInvalid,
    UrlInvalid,
)
from freshpg.core.names import default_database_name, is_derived_name, validate_database_name
from freshpg.core.redaction import redact_url
from freshpg.core.settings.origin import DEFAULT, Origin, nearest, unknown_key, wrong_value
from freshpg.core.settings.schema import DATABASE_FIELDS, FIELDS, ISOLATION_LEVELS, SERVERS
from freshpg.core.settings.values import Kind, RefusedValue

if TYPE_CHECKING:
    from collections.abc import Mapping

Origins = dict[str, Origin]

_BLUEPRINT = r"[A-Za-z][A-Za-z0-9_-]*"


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return all values of ``given`` in their final types; blueprints are left to :func:`databases`."""
    origins = given["origins"]
    checked = {
        **given,
        **{key: _value(key, kind, given[key], origins) for key, kind in FIELDS.items()},
    }
    checked["server"] = _server(checked["server"], origins)
    return checked


def databases(given: dict[str, Any], checked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the blueprints' values in their final types, by blueprint name.

    Without any, there is one: ``main``, empty, named after the project's folder.
    """
    origins: Origins = given["origins"]
    folder = checked["root"].name
    tables = given["databases"]
    if not isinstance(tables, dict):
        raise wrong_value("databases", _origin("databases", origins), "a table of tables", tables)
    tables = tables or {"main": {"migrations": ()}}
    result = {name: _blueprint(name, table, origins, folder) for name, table in tables.items()}
    _refuse_shared_names({name: values["name"] for name, values in result.items()}, origins)
    _refuse_own_server_elsewhere(checked, result, origins)
    return result


def _value(key: str, kind: Kind, value: Any, origins: Origins) -> Any:
    origin = _origin(key, origins)
    if (
        key.rpartition(".")[2] == "isolation"
        and isinstance(value, str)
        and value not in ISOLATION_LEVELS
    ):
        raise _unknown_level(key, value, origin)
    try:
        return kind.convert(value)
    except RefusedValue as error:
        raise wrong_value(key, origin, kind.expected, value, str(error)) from None


def _unknown_level(key: str, value: str, origin: Origin) -> IsolationUnknown:
    near = nearest(value, ISOLATION_LEVELS)
    return IsolationUnknown(
        "a level of isolation was read from the settings",
        on=f"{key} in {origin.full}",
        seen=repr(value),
        todo=(
            *([f"did you mean {near}?"] if near else []),
            f"levels: {', '.join(ISOLATION_LEVELS)}",
        ),
        key=key,
        path=origin.path,
        line=origin.line,
    )


def _server(value: str, origins: Origins) -> str:
    value = value.strip()
    if value in SERVERS:
        return value
    origin = _origin("server", origins)
    if "=" not in value and "://" not in value:
        near = nearest(value, SERVERS)
        why = f"did you mean {near}?" if near else "neither a known word nor an address"
        # It may have been meant as an address.
        raise wrong_value("server", origin, FIELDS["server"].expected, redact_url(value), why)
    from freshpg.core.conninfo import Conninfo

    try:
        Conninfo.parse(value)
    except UrlInvalid as error:
        raise _placed(error, "server", origin) from None
    return value


def _blueprint(name: str, table: Any, origins: Origins, folder: str) -> dict[str, Any]:
    key = f"databases.{name}"
    origin = _origin(key, origins)
    if not re.fullmatch(_BLUEPRINT, str(name)):
        raise wrong_value(
            key, origin, "a blueprint named by letters, digits, - and _, such as main", name
        )
    values = _table(key, table, origin)
    for given in values:
        if given not in DATABASE_FIELDS:
            known = [f"{key}.{field}" for field in DATABASE_FIELDS]
            raise unknown_key(f"{key}.{given}", _origin(f"{key}.{given}", origins), known)
    if values.get("migrations") is None:
        raise _no_migrations(key, origin)
    values = {"name": default_database_name(folder, name)} | {
        key: value for key, value in values.items() if value != ""
    }
    checked = {
        field: _value(f"{key}.{field}", DATABASE_FIELDS[field], value, origins)
        for field, value in values.items()
    }
    try:
        validate_database_name(checked["name"])
    except NameInvalid as error:
        raise _placed(error, f"{key}.name", _origin(f"{key}.name", origins)) from None
    return checked


def _table(key: str, table: Any, origin: Origin) -> dict[str, Any]:
    if is_dataclass(table) and not isinstance(table, type):
        return {
            item.name: getattr(table, item.name)
            for item in fields(table)
            if item.name != "blueprint"
        }
    if not isinstance(table, dict):
        raise wrong_value(key, origin, "a table with name and migrations", table)
    return dict(table)


def _no_migrations(key: str, origin: Origin) -> BlueprintInvalid:
    return BlueprintInvalid(
        "a database is declared but not how it is made",
        on=f"{key} in {origin.full}",
        seen="no migrations",
        todo=(
            'say what makes it, such as migrations = ["db/schema.sql"]',
            "write migrations = [] if it shall be empty",
        ),
        key=key,
        path=origin.path,
        line=origin.line,
    )


def _refuse_shared_names(names: Mapping[str, str], origins: Origins) -> None:
    for first, second in permutations(names, 2):
        if names[first] == names[second]:
            seen = f"both are named {names[first]}"
        elif is_derived_name(names[second], names[first]):
            seen = f"{names[second]} is a name freshpg makes out of {names[first]}"
        else:
            continue
        places = [
            f"databases.{name}.name in {_origin(f'databases.{name}.name', origins).full}"
            for name in (first, second)
        ]
        raise BlueprintInvalid(
            "two blueprints would use one database",
            on="\n".join(places),
            seen=seen,
            todo=("give each its own name, such as shop_test and shop_eventstore_test",),
            blueprints=(first, second),
        )


def _refuse_own_server_elsewhere(
    checked: dict[str, Any], blueprints: dict[str, dict[str, Any]], origins: Origins
) -> None:
    if checked["server"] in SERVERS:
        return
    levels = {"isolation": checked["isolation"]}
    levels |= {
        f"databases.{name}.isolation": values.get("isolation")
        for name, values in blueprints.items()
    }
    for key, level in levels.items():
        if level == "server":
            raise SettingsInvalid(
                "two settings contradict each other",
                on=f"server in {_origin('server', origins).full}\n{key} in {_origin(key, origins).full}",
                seen="a server given by its address, and a server of its own for each test",
                todo=("choose isolation = 'clone'", "choose server = 'auto'"),
                key=key,
            )


def _placed(error: FreshpgError, key: str, origin: Origin) -> FreshpgError:
    on = f"{key} in {origin.full}" + (f": {error.on}" if error.on else "")
    return type(error)(
        error.failed,
        on=on,
        seen=error.seen,
        todo=error.todo,
        **{**error.data, "key": key, "path": origin.path, "line": origin.line},
    )


def _origin(key: str, origins: Origins) -> Origin:
    """Return the origin of a key, or of the nearest table above it that has one."""
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return DEFAULT
