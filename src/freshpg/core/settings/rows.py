"""Settings as rows for a person: key, value without passwords, origin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpg.core.errors import FreshpgError
from freshpg.core.redaction import redact, redact_url
from freshpg.core.settings.origin import DEFAULT, Origin
from freshpg.core.settings.schema import DATABASE_FIELDS, FIELDS, SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.settings.model import Settings

_SECRET = ("password", "passwd", "secret")


class SettingRow(NamedTuple):
    """One line of ``freshpg config``."""

    key: str
    value: str
    origin: Origin


def describe(settings: Settings) -> list[SettingRow]:
    """Return every key, in the order of the schema, blueprints last."""
    origins = {"root": Origin("found"), **settings.origins}
    return [
        SettingRow(key, _shown(key, value), origins.get(key, DEFAULT))
        for key, value in _pairs(settings)
    ]


def _pairs(settings: Settings) -> Iterator[tuple[str, Any]]:
    yield "root", str(settings.root)
    for key in FIELDS:
        if key == "server":
            yield key, settings.server if settings.server in SERVERS else _address(settings)
        elif key != "settings":
            yield key, getattr(settings, key)
    for name, value in settings.settings.items():
        yield f"settings.{name}", value
    for name, database in settings.databases.items():
        for key in DATABASE_FIELDS:
            yield f"databases.{name}.{key}", getattr(database, key)


def _address(settings: Settings) -> str:
    # Also shown where something else is wrong with the settings, and a repr() never fails.
    try:
        return str(settings.conninfo)
    except FreshpgError:
        return redact_url(settings.server)


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.rpartition(".")[2] in {"linger", "deadline"}:
        return f"{value:g} s"
    if isinstance(value, str) and any(word in key.lower() for word in _SECRET):
        return '"***"'
    return redact(json.dumps(value, ensure_ascii=False))
