"""``--set NAME={url}``: the places of a template, checked before anything is made. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.conninfo import DIALECTS
from freshpg.core.errors import UsageInvalid
from freshpg.core.settings.origin import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.conninfo import Conninfo

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Address:
    """What placeholders are filled with."""

    conninfo: Conninfo
    socket: str


_PARTS: dict[str, Callable[[Address], str]] = {
    "url": lambda address: address.conninfo.url(),
    "host": lambda address: address.conninfo.host,
    "port": lambda address: str(address.conninfo.port),
    "user": lambda address: address.conninfo.user,
    "password": lambda address: address.conninfo.password or "",
    "database": lambda address: address.conninfo.dbname,
    "socket": lambda address: address.socket,
}
PLACEHOLDERS = (*_PARTS, *(f"url:{dialect}" for dialect in DIALECTS))


@dataclass(frozen=True, slots=True)
class Assignment:
    """One variable and the template of its value."""

    name: str
    template: str

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Read ``NAME=TEMPLATE``.

        Raises:
            UsageInvalid: It is not of this form, or names a placeholder that does not exist.
        """
        name, equals, template = text.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise _wrong(text, "not of the form NAME=TEMPLATE", "for example --set TEST_DSN={url}")
        for found in _PLACE.finditer(template):
            if found[1] is not None and found[1] not in PLACEHOLDERS:
                near = nearest(found[1], PLACEHOLDERS)
                raise _wrong(
                    text,
                    f"there is no placeholder {found[0]}",
                    *([f"did you mean {{{near}}}?"] if near else []),
                    f"use one of: {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}",
                    "write {{ and }} for braces that are meant",
                )
        return cls(name, template)

    def fill(self, address: Address) -> str:
        """Return the value.

        Raises:
            UrlInvalid: The driver of ``{url:driver}`` cannot reach such an address.
        """

        def part(found: re.Match[str]) -> str:
            name = found[1]
            if name is None:
                return found[0][0]
            kind, _, dialect = name.partition(":")
            return address.conninfo.url(dialect) if dialect else _PARTS[kind](address)

        return _PLACE.sub(part, self.template)


def _wrong(text: str, seen: str, *todo: str) -> UsageInvalid:
    return UsageInvalid(
        "an option was read before anything was made", on=f"--set {text}", seen=seen, todo=todo
    )
