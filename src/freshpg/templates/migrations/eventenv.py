"""The environment that leads an application of the library ``eventsourcing`` to one database. Pure.

https://eventsourcing.readthedocs.io/en/stable/topics/persistence.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.core.conninfo import Conninfo

# The library looks for NAME_KEY before KEY, so both of a developer's would lead elsewhere.
_LEADS_ELSEWHERE = re.compile(
    r"(?:\w+_)?(?:PERSISTENCE_MODULE|INFRASTRUCTURE_FACTORY|FACTORY_TOPIC|CREATE_TABLE"
    r"|POSTGRES_(?:DBNAME|HOST|PORT|USER|PASSWORD|GET_PASSWORD_TOPIC))"
)


def postgres_environment(conninfo: Conninfo, *, create_tables: bool) -> dict[str, str]:
    """Return the settings for this database.

    The pool is small, and does not wait for long: the library tries ten times to save on a store that is gone.
    """
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": conninfo.dbname,
        "POSTGRES_HOST": conninfo.host,
        "POSTGRES_PORT": str(conninfo.port),
        "POSTGRES_USER": conninfo.user,
        "POSTGRES_PASSWORD": conninfo.password or "",
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_CONNECT_TIMEOUT": "5",
        "CREATE_TABLE": "y" if create_tables else "n",
    }


def for_names(settings: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return settings that also win over those an application has under its own name."""
    named = {
        f"{name.upper()}_{key}": value
        for name in names
        for key, value in settings.items()
        if _LEADS_ELSEWHERE.fullmatch(key)
    }
    return {**settings, **named}


def leading_elsewhere(environment: Iterable[str]) -> list[str]:
    """Return the variables that would lead an application to another store."""
    return [name for name in environment if _LEADS_ELSEWHERE.fullmatch(name)]
