"""Which blueprint each of Django's aliases is made from. Pure: reads dictionaries, asks no server."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DjangoUnusable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    Entry = Mapping[str, Any]

DEFAULT_ALIAS = "default"
MAIN = "main"
KEY = "FRESHPG"
"""Names a blueprint in ``DATABASES[alias]["TEST"]``."""


def blueprints_by_alias(
    configured: Mapping[str, Entry], wanted: Iterable[str], blueprints: Collection[str]
) -> dict[str, str]:
    """Return the blueprint of every wanted alias, and of all mirrors of one of them.

    A blueprint is found by the alias a ``TEST["MIRROR"]`` names, by ``TEST["FRESHPG"]``, by the alias itself, and for
    ``default`` as ``main`` or as the only one there is. An alias with the same address as one that is found shares it.

    Args:
        configured: ``DATABASES``, completed by Django.
        wanted: Aliases that tests use.
        blueprints: Names of the project's blueprints.

    Raises:
        DjangoUnusable: A blueprint cannot be found, or is not one of the project's.
    """
    # Of an alias that is not configured Django itself tells, better: by the test that names it.
    used = set(wanted)
    found = {
        alias: _blueprint(alias, configured, blueprints) for alias in configured if alias in used
    }
    for alias, entry in configured.items():
        if _mirrored(entry) and _origin(alias, configured) in found:
            found.setdefault(alias, found[_origin(alias, configured)])
    return found


def _blueprint(alias: str, configured: Mapping[str, Entry], blueprints: Collection[str]) -> str:
    origin = _origin(alias, configured)
    named = _named(origin, configured[origin], blueprints)
    if named:
        return named
    # Django takes two aliases with one address for one database.
    address = _address(configured[origin])
    for other, entry in configured.items():
        if other != origin and not _mirrored(entry) and _address(entry) == address:
            named = _named(other, entry, blueprints)
            if named:
                return named
    raise _without_blueprint(alias, blueprints)


def _named(alias: str, entry: Entry, blueprints: Collection[str]) -> str:
    said = entry.get("TEST", {}).get(KEY)
    if said is not None:
        if said not in blueprints:
            raise _unknown(alias, said, blueprints)
        return str(said)
    if alias in blueprints:
        return alias
    if alias == DEFAULT_ALIAS:
        return (
            MAIN if MAIN in blueprints else next(iter(blueprints)) if len(blueprints) == 1 else ""
        )
    return ""


def _origin(alias: str, configured: Mapping[str, Entry]) -> str:
    """Return the alias that is mirrored in the end."""
    passed = [alias]
    while (mirrored := _mirrored(configured[passed[-1]])) and mirrored not in passed:
        if mirrored not in configured:
            raise DjangoUnusable(
                "a mirror was followed",
                on=f'DATABASES["{passed[-1]}"]["TEST"]["MIRROR"]',
                seen=f"there is no alias {mirrored!r}",
                todo=(f"use one of: {', '.join(configured)}",),
            )
        passed.append(mirrored)
    return passed[-1]


def _mirrored(entry: Entry) -> str:
    return entry.get("TEST", {}).get("MIRROR") or ""


def _address(entry: Entry) -> tuple[Any, ...]:
    return (
        *(entry.get(key) or "" for key in ("ENGINE", "HOST", "PORT", "NAME")),
        entry.get("TEST", {}).get("NAME"),
    )


def _without_blueprint(alias: str, blueprints: Collection[str]) -> DjangoUnusable:
    is_default = alias == DEFAULT_ALIAS
    name, step = (MAIN, "django") if is_default else (alias, f"django::{alias}")
    first = next(iter(blueprints), MAIN)
    others = (
        f'or name one of those: DATABASES["{alias}"]["TEST"] = {{"{KEY}": "{first}"}}',
        f'or let it mirror another alias: "TEST": {{"MIRROR": "{DEFAULT_ALIAS}"}}',
    )
    return DjangoUnusable(
        "a database was looked for that belongs to an alias of Django",
        on=f'DATABASES["{alias}"]',
        seen=f"no blueprint is called so; the project has: {', '.join(blueprints) or 'none'}",
        todo=(
            f'add [tool.freshpg.databases.{name}] with migrations = ["{step}"]',
            *(others[: 1 if is_default else 2] if blueprints else ()),
        ),
        alias=alias,
    )


def _unknown(alias: str, said: object, blueprints: Collection[str]) -> DjangoUnusable:
    near = difflib.get_close_matches(str(said), blueprints, n=1)
    return DjangoUnusable(
        "a blueprint was looked for that an alias of Django names",
        on=f'DATABASES["{alias}"]["TEST"]["{KEY}"] = {said!r}',
        seen=f"the project has: {', '.join(blueprints) or 'none'}",
        todo=(
            *((f"did you mean {near[0]}?",) if near else ()),
            f"add [tool.freshpg.databases.{said}]",
        ),
        alias=alias,
    )
