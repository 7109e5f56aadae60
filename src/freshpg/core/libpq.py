"""The two texts libpq takes for an address, read and written by its rules.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. Python's ``urllib`` is not used to
read: it lowers the case of socket directories, cuts at ``#`` and turns ``+`` into a space, and libpq does not.
Messages of the ``ValueError`` raised here never quote a value, because it may be part of a password.
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(postgres|postgresql)(\+[a-z0-9_]+)?://")
_ENCODED = re.compile(rb"%([0-9a-fA-F]{2})")
_BLANKS = " \t\n\r\f\v"
_KEYWORD = re.compile(rf"[^={_BLANKS}]+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_PLAIN = re.compile(rf"((?:[^\\{_BLANKS}]|\\.|\\$)*)", re.DOTALL)


def read_url(text: str) -> dict[str, str]:
    """Return the keywords a URL stands for.

    Raises:
        ValueError: It is malformed; the message says how.
    """
    scheme = _SCHEME.match(text)
    if not scheme:
        raise ValueError("the scheme is not postgresql://")
    if any(blank in text for blank in _BLANKS):
        raise ValueError("a space or line break stands in it; write a space as %20")
    login, rest = _split_login(text[scheme.end() :])
    address, _, query = rest.partition("?")
    place, _, database = address.partition("/")
    user, _, password = login.partition(":")
    host, port = _host_and_port(place)
    parts = {"user": user, "password": password, "host": host, "port": port, "dbname": database}
    found = {key: _decoded(value) for key, value in parts.items() if value}
    return found | _read_query(query)


def read_keywords(text: str) -> dict[str, str]:
    """Return the pairs of a text such as ``host=/tmp dbname='a b'``; of a repeated keyword the last.

    Raises:
        ValueError: It is malformed; the message says where.
    """
    pairs: dict[str, str] = {}
    position = _skip_blanks(text, 0)
    while position < len(text):
        keyword = _KEYWORD.match(text, position)
        equals = _skip_blanks(text, keyword.end()) if keyword else position
        if not keyword or text[equals : equals + 1] != "=":
            raise ValueError(f"a keyword and = are missing at character {position + 1}")
        position = _skip_blanks(text, equals + 1)
        quoted = text[position : position + 1] == "'"
        value = (_QUOTED if quoted else _PLAIN).match(text, position)
        if not value:
            raise ValueError(f"the quote at character {position + 1} is not closed")
        pairs[keyword[0]] = re.sub(r"\\(.?)", r"\1", value[1], flags=re.DOTALL)
        position = _skip_blanks(text, value.end())
    return pairs


def write_keywords(pairs: dict[str, str | int]) -> str:
    """Return pairs as libpq's text, quoted where needed."""
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items())


def _split_login(text: str) -> tuple[str, str]:
    """Return ``user:password`` and the rest; as in libpq, the first @ before the first / ends the login."""
    login, at, rest = text.partition("@")
    if not at or "/" in login:
        return "", text
    if "@" in re.split("[/?]", rest, maxsplit=1)[0]:
        raise ValueError(
            "more than one @ stands before the host; write those of the password as %40"
        )
    return login, rest


def _host_and_port(place: str) -> tuple[str, str]:
    if not place.startswith("["):
        host, _, port = place.partition(":")
        return host, port
    host, bracket, rest = place[1:].partition("]")
    if not bracket or not host or (rest and not rest.startswith(":")):
        raise ValueError("the IPv6 address is not of the form [address] or [address]:port")
    return host, rest[1:]


def _read_query(query: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in query.split("&") if query else ():
        key, equals, value = item.partition("=")
        if not key or not equals or "=" in value:
            raise ValueError("a parameter after ? is not of the form key=value")
        pairs[_decoded(key)] = _decoded(value)
    # libpq takes this one from JDBC.
    if pairs.get("ssl") == "true":
        del pairs["ssl"]
        pairs["sslmode"] = "require"
    return pairs


def _decoded(text: str) -> str:
    data = text.encode()
    if re.search(rb"%(?![0-9a-fA-F]{2})", data):
        raise ValueError("a % is not followed by two hexadecimal digits; write % itself as %25")
    if b"%00" in data:
        raise ValueError("it holds a NUL character, percent-encoded")
    try:
        return _ENCODED.sub(lambda match: bytes([int(match[1], 16)]), data).decode()
    except UnicodeDecodeError:
        raise ValueError("percent-encoded bytes are not UTF-8") from None


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _quoted(value: str) -> str:
    if value and not re.search(r"[\s'\\]", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
