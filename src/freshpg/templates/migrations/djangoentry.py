"""What an entry of Django's ``DATABASES`` says while it points at a database of ours. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.conninfo import Conninfo

# Where to go and how to log in: the lease says that, and one left over would lead elsewhere. Django sends a role of
# ``assume_role`` to a server that has never heard of it.
_PLACE = frozenset(
    {
        "assume_role",
        "channel_binding",
        "connect_timeout",
        "dbname",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "krbsrvname",
        "load_balance_hosts",
        "passfile",
        "password",
        "port",
        "require_auth",
        "requirepeer",
        "service",
        "servicefile",
        "sslcert",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "user",
    }
)


def entry_for(configured: Mapping[str, Any], conninfo: Conninfo) -> dict[str, Any]:
    """Return what an entry has to say to lead to ``conninfo`` and behave as configured otherwise."""
    keywords: dict[str, Any] = dict(conninfo.keywords())
    place = {
        "NAME": keywords.pop("dbname"),
        "USER": keywords.pop("user", ""),
        "PASSWORD": keywords.pop("password", ""),
        "HOST": keywords.pop("host", ""),
        "PORT": str(keywords.pop("port", "")),
    }
    given = dict(configured.get("OPTIONS") or {})
    kept = {key: value for key, value in given.items() if key not in _PLACE}
    entry = {**configured, **place, "OPTIONS": {**keywords, **kept}}
    if entry.get("CONN_MAX_AGE", 0) != 0:
        # A reset may have to replace the database, and a connection that outlives its request would be a dead one.
        entry["CONN_HEALTH_CHECKS"] = True
    return entry
