"""Which shared library a program lacks, and which Debian package brings it."""

from __future__ import annotations

import re
from typing import Final

# The loaders of glibc, musl and macOS, in this order.
_COMPLAINTS: Final = (
    re.compile(r"error while loading shared libraries: ([^\s:]+)"),
    re.compile(r"Error loading shared library ([^\s:]+)"),
    re.compile(r"Library not loaded: (\S+)"),
)
_GLIBC_TOO_OLD: Final = re.compile(r"version [`']?(GLIBC_[\d.]+)'? not found")

# Sonames whose package is not called after them by Debian's rule (see debian_package).
_IRREGULAR: Final = {
    "libxml2.so.2": "libxml2",
    "libz.so.1": "zlib1g",
    "libpam.so.0": "libpam0g",
    "libLLVM-14.so.1": "libllvm14",
    "libuuid.so.16": "libossp-uuid16",
    "libossp-uuid.so.16": "libossp-uuid16",
}


def missing_library(complaint: str) -> str | None:
    """Return the library a loader's complaint names, without its directory."""
    for pattern in _COMPLAINTS:
        if found := pattern.search(complaint):
            return found[1].rpartition("/")[2]
    return None


def too_old_libc(complaint: str) -> str | None:
    """Return the symbol version (``GLIBC_2.34``) the machine's C library does not have."""
    found = _GLIBC_TOO_OLD.search(complaint)
    return found[1] if found else None


def debian_package(soname: str) -> str | None:
    """Return the Debian package of a library, by Debian's naming rule for shared libraries.

    Policy 8.1: the soname's name and version, joined by ``-`` when the name ends in a digit. None for a name
    that carries no version, and for one mangled by a wheel builder (``libpq-6197da7d.so.5.18``).
    Source: https://www.debian.org/doc/debian-policy/ch-sharedlibs.html#run-time-shared-libraries
    """
    if soname in _IRREGULAR:
        return _IRREGULAR[soname]
    found = re.fullmatch(r"(?P<name>[A-Za-z][\w+.-]*?)\.so\.(?P<version>\d+(?:\.\d+)?)", soname)
    if found is None or re.search(r"-[0-9a-f]{8}$", found["name"]):
        return None
    if icu := re.fullmatch(r"libicu(?:uc|i18n|data)\.so\.(\d+)", soname):
        return f"libicu{icu[1]}"
    name = found["name"].lower().replace("_", "-")
    return f"{name}{'-' if name[-1].isdigit() else ''}{found['version']}"
