"""The only place where names and values become SQL text."""

from __future__ import annotations

import re

from freshpg.core.errors import NameInvalid
from freshpg.core.names import MAX_BYTES

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def ident(name: str) -> str:
    """Return ``name`` as a quoted identifier.

    Raises:
        NameInvalid: It is empty, holds NUL, or is longer than PostgreSQL's 63 bytes; the server would silently
            cut it and so mean another object.
    """
    if not name or "\0" in name or len(name.encode(errors="surrogatepass")) > MAX_BYTES:
        raise NameInvalid(
            "a name was about to become an SQL identifier",
            on=repr(name),
            seen=f"names hold 1 to {MAX_BYTES} bytes and no NUL",
            todo=("use a shorter, plain name",),
            name=name,
        )
    return '"' + name.replace('"', '""') + '"'


def readable(name: str) -> str:
    """Return ``name`` as a person writes it, quoted only where its characters need it: for messages, not for SQL."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as a string literal that reads the same under any ``standard_conforming_strings``.

    Raises:
        NameInvalid: It holds NUL, which no PostgreSQL text can.
    """
    if "\0" in text:
        raise NameInvalid(
            "a text was about to become an SQL literal", seen="it holds a NUL character", name=text
        )
    quoted = "'" + text.replace("'", "''") + "'"
    if "\\" in quoted:
        return " E" + quoted.replace("\\", "\\\\")
    return quoted
