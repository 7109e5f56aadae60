"""Brings the sources of settings together, each value with its origin; later sources win."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import SettingsInvalid
from freshpg.core.settings.model import Settings
from freshpg.core.settings.origin import Origin, nearest, unknown_key, wrong_value
from freshpg.core.settings.schema import DATABASE_FIELDS, FIELDS
from freshpg.core.settings.values import PARAMETER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from freshpg.core.settings.locate import Project
    from freshpg.core.settings.values import Kind

PREFIX = "FRESHPG_"

OTHER_VARIABLES = {
    "FRESHPG_URL": "written by freshpg for programs it starts",
    "FRESHPG_CACHE": "directory of the cache of images",
    "FRESHPG_RUN_AS": "user that PostgreSQL runs as when freshpg runs as root",
    "FRESHPG_RUNTIME": "directory of running servers and sockets",
    "FRESHPG_FAULTS": "directory of faults that freshpg's own tests order",
}
"""Variables with our prefix that are no settings."""


def load_settings(
    start: Path,
    *,
    environment: Mapping[str, str],
    overrides: Mapping[str, tuple[Any, str]] | None = None,
) -> Settings:
    """Return the settings of the project that ``start`` lies in.

    Args:
        start: A directory or file; the project is searched from there upwards.
        environment: Variables of the process; only ``FRESHPG_*`` and ``CI`` are read, empty ones count as unset.
        overrides: Dotted key to value and origin, such as ``{"server": ("system", "--pg-server")}``. A value
            ``None`` counts as not given; a text is read as the environment's would be.

    Raises:
        SettingsInvalid: A file, key, type or value is wrong, or two contradict each other.
        BlueprintInvalid: A database has no ``migrations``, or shares names with another one.
        IsolationUnknown, NameInvalid, UrlInvalid: As their names say.
    """
    from freshpg.core.settings.locate import find_project

    project = find_project(start)
    given = _Given()
    _add_defaults(given, environment)
    _add_file(given, project)
    _add_environment(given, environment)
    for key, (value, origin) in (overrides or {}).items():
        if value is not None:
            given.add_option(key, value, Origin(origin))
    given.add_default_database()
    root = Origin(
        "found upwards from the start"
        if project.file is None
        else f"directory of {project.file.name}"
    )
    return Settings(root=project.root, origins={"root": root, **given.origins}, **given.values)


class _Given:
    """Values as written, the last source's on top, and where each stands."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, Origin] = {}
        self.blueprints_in_file = False

    def add(self, path: tuple[str, ...], value: Any, origin: Origin) -> None:
        table = self.values
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise wrong_value(".".join(path), origin, "a key inside a table", value)
        table[path[-1]] = value
        self.origins[".".join(path)] = origin

    def add_option(self, key: str, value: Any, origin: Origin) -> None:
        kind = kind_of(key)
        if kind is None:
            raise unknown_key(key, origin, _all_keys(self.values))
        path = tuple(key.split(".", 1 if key.startswith("settings.") else -1))
        self.add(path, kind.from_text(value) if isinstance(value, str) else value, origin)

    def add_default_database(self) -> None:
        """Let ``main`` be empty when no source but the environment or an option speaks of it."""
        tables = self.values.get("databases")
        if not self.blueprints_in_file and isinstance(tables, dict) and set(tables) == {"main"}:
            tables["main"].setdefault("migrations", ())


def kind_of(key: str) -> Kind | None:
    """Return the kind of a dotted key, or ``None`` when there is no such setting."""
    parts = key.split(".")
    if parts[0] == "databases" and len(parts) == 3:
        return DATABASE_FIELDS.get(parts[2])
    if parts[0] == "settings" and len(parts) > 1:
        return PARAMETER
    return FIELDS.get(key) if key != "settings" else None


def _add_defaults(given: _Given, environment: Mapping[str, str]) -> None:
    if environment.get("CI", "").strip().lower() not in {"", "0", "false", "no", "off"}:
        given.add(("linger",), 0, Origin("default, because CI is set"))


def _add_file(given: _Given, project: Project) -> None:
    if project.file is None:
        return
    for keys, line in project.lines.items():
        key = ".".join(keys)
        # Names of server parameters have no case; the environment may mean the same one.
        key = key.lower() if keys[:1] == ("settings",) else key
        given.origins[key] = Origin.of_file(project.file, line)
    for key, value in project.table.items():
        if key not in FIELDS and key != "databases":
            from freshpg.core.settings.locate import OWN_FILE

            hint = (
                f"in {OWN_FILE} keys stand at the top, without [tool.freshpg]"
                if key == "tool"
                else ""
            )
            raise unknown_key(key, given.origins[key], [*FIELDS, "databases"], hint)
        given.values[key] = _copy(value, lower=key == "settings")
    given.blueprints_in_file = "databases" in project.table


def _copy(value: Any, *, lower: bool) -> Any:
    """Copy tables: the environment may add to them."""
    if not isinstance(value, dict):
        return value
    return {key.lower() if lower else key: _copy(item, lower=lower) for key, item in value.items()}


def _add_environment(given: _Given, environment: Mapping[str, str]) -> None:
    blueprints = given.values.get("databases")
    names = blueprints if isinstance(blueprints, dict) else {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        value, origin = environment[variable], Origin(f"environment {variable}")
        key = _key_of(variable, names)
        if key is None:
            raise _unknown_variable(variable, names)
        if value.strip():
            given.add_option(key, value, origin)


def _key_of(variable: str, blueprints: Iterable[str]) -> str | None:
    name = variable.removeprefix(PREFIX).lower()
    if name in FIELDS and name != "settings":
        return name
    table, _, rest = name.partition("_")
    if table == "settings" and rest:
        return f"settings.{rest}"
    blueprint, _, field = rest.rpartition("_")
    if table != "databases" or not blueprint or field not in DATABASE_FIELDS:
        return None
    return f"databases.{_blueprint_of(variable, blueprint, blueprints)}.{field}"


def _blueprint_of(variable: str, spelled: str, blueprints: Iterable[str]) -> str:
    """Return the blueprint a variable means: variables have neither small letters nor hyphens."""
    meant = [name for name in blueprints if _spelled(name) == spelled.upper()]
    if len(meant) > 1:
        raise SettingsInvalid(
            "a variable of the environment means two blueprints",
            on=variable,
            seen=" and ".join(meant),
            todo=("rename one of them", "set the value in the file"),
        )
    return meant[0] if meant else spelled


def _spelled(blueprint: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", blueprint.upper())


def _unknown_variable(variable: str, blueprints: Iterable[str]) -> SettingsInvalid:
    known = [f"{PREFIX}{key.upper()}" for key in FIELDS if key != "settings"]
    known += [
        f"{PREFIX}DATABASES_{_spelled(name)}_{field.upper()}"
        for name in (*blueprints, "main")
        for field in DATABASE_FIELDS
    ]
    near = nearest(variable, [*known, *OTHER_VARIABLES])
    return SettingsInvalid(
        "an unknown variable was found in the environment",
        on=variable,
        seen=f"no setting has this name; {PREFIX}* is reserved for settings, so it would do nothing",
        todo=(*([f"did you mean {near}?"] if near else []), f"remove it: unset {variable}"),
        key=variable,
        nearest=near,
    )


def _all_keys(values: Mapping[str, Any]) -> list[str]:
    blueprints = values.get("databases", {})
    names = {"main", *(blueprints if isinstance(blueprints, dict) else ())}
    return [*FIELDS, *(f"databases.{name}.{field}" for name in names for field in DATABASE_FIELDS)]
