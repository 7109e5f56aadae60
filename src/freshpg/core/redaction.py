"""Keeps passwords out of messages."""

from __future__ import annotations

import re

SECRET_PARAMETERS = frozenset(
    {
        "oauth_client_secret",
        "password",
        "scram_client_key",
        "scram_server_key",
        "sslpassword",
    }
)
"""Keywords of libpq whose values are never shown."""


class Secret(str):
    """Text that tracebacks with the values of variables do not show; to a driver it is text like any other."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


_HIDDEN = r"\1***"
# Also --password=… of a program, PGPASSWORD=… before one, and api_key=… of something else.
_NAMED = "|".join(
    sorted({*SECRET_PARAMETERS, r"[\w-]*(?:password|passwd|secret|token|api_?key|access_?key)"})
)
_KEYWORD = (
    rf"(\b(?:{_NAMED})\s*=\s*)"
    r"(?:'(?:[^'\\]|\\.)*'?|(?:[^\s&'\"\\]|\\.)(?:[^\s&\\]|\\.)*)"
)
# CREATE ROLE … PASSWORD '…', and its other spelling: https://www.postgresql.org/docs/current/sql-createrole.html
_IN_SQL = r"(\bPASSWORD\s+)(?:E?'(?:[^'\\]|\\.|'')*'?|\$(\w*)\$.*?(?:\$\2\$|$))"
# After "://user:", up to the last "@" of the word. Without "@", whatever is not plainly a port.
_IN_URL = r"(://(?!\[[0-9a-fA-F:.%]+\](?:[:/?]|$))[^:@\s]*:)(?:\S*@|(?!\d{1,5}(?:[^\w]|$))\S+)"


def redact(text: str, *secrets: str | None) -> str:
    """Return ``text`` with passwords replaced, for messages of servers and drivers that may quote them.

    ``secrets`` are replaced wherever they stand, also percent-encoded or escaped; passwords in URLs and libpq
    keywords are found without being named.
    """
    # Late: errors are redacted, and whoever imports them should not wait for this.
    from urllib.parse import quote

    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
        for spelling in (secret, quote(secret, safe=""), escaped, repr(secret)[1:-1]):
            text = text.replace(spelling, "***")
    return redact_forms(text)


def redact_forms(text: str) -> str:
    """Return ``text`` without what is a password by where it stands: in a URL, after a keyword, in SQL."""
    text = re.sub(_IN_URL, r"\1***@", text)
    text = re.sub(_IN_SQL, _HIDDEN, text, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(_KEYWORD, _HIDDEN, text, flags=re.IGNORECASE | re.DOTALL)


def redact_url(text: str) -> str:
    """Return one malformed URL without what may be its password, whatever characters stand in it."""
    # With as many slashes as somebody happened to type.
    text = re.sub(r"((?:^|:/*)[^:@/]*:)(?!/).*@", _HIDDEN + "@", text, flags=re.DOTALL)
    return redact(text)
