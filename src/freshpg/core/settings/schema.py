"""Every setting there is, and the kind of its value."""

from __future__ import annotations

from freshpg.core.settings.values import (
    BOOLEAN,
    DURATION,
    PARAMETERS,
    SIZE,
    SPAN,
    STRINGS,
    Kind,
    integer,
    major_version,
    optional,
    text,
    word_of,
)

SERVERS = ("auto", "embedded", "system", "container")
"""Words for ``server``; anything else must be the address of a server."""

ISOLATION_LEVELS = ("readonly", "rollback", "reset", "clone", "server")
"""Levels of the design, weakest first; which of them this version has is decided by ``freshpg.isolation``."""

SUPPORTED_MAJORS = (15, 16, 17, 18)

_MANY = 1_000_000
_ISOLATION = word_of(ISOLATION_LEVELS)

FIELDS: dict[str, Kind] = {
    "server": text(f"one of {', '.join(SERVERS)}, or postgresql://user@host/postgres"),
    "postgres": optional(major_version(SUPPORTED_MAJORS[0], SUPPORTED_MAJORS[-1])),
    "isolation": _ISOLATION,
    "linger": DURATION,
    "deadline": SPAN,
    "allow_create": BOOLEAN,
    "superuser": BOOLEAN,
    "extensions": STRINGS,
    "stock": integer(0, 1000),
    "keep": integer(0, 1000),
    "locale": optional(text('a locale such as "C.UTF-8"')),
    "settings": PARAMETERS,
    "images_max": integer(1, _MANY),
    "images_max_size": SIZE,
}
"""All settings but ``root``, which is found, and ``databases``, which is a table of tables."""

DATABASE_FIELDS: dict[str, Kind] = {
    "name": text("the name of a database"),
    "migrations": optional(STRINGS),
    "seed": STRINGS,
    "extensions": STRINGS,
    "superuser": optional(BOOLEAN),
    "isolation": optional(_ISOLATION),
    "deadline": optional(SPAN),
}
"""Keys of one table under ``databases``."""
