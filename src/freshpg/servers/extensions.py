"""Are the wanted extensions there; if not, who has them and what to install."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from freshpg.core.errors import ExtensionMissing
from freshpg.core.extensions import debian_package

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freshpg.servers.binaries import Binaries


def missing(binaries: Binaries, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return which of ``wanted`` ``CREATE EXTENSION`` would not find, in their order."""
    names = tuple(dict.fromkeys(wanted))
    if not names:
        return ()
    present = binaries.extensions
    return tuple(name for name in names if name not in present)


def require(binaries: Binaries, wanted: Iterable[str], others: Sequence[Binaries] = ()) -> None:
    """Make sure that all of ``wanted`` are there.

    Args:
        binaries: Of the server that was chosen.
        wanted: Names of extensions.
        others: Everything else discovery saw (``Choice.others``, of ``resolve(..., ask_all=True)``).

    Raises:
        ExtensionMissing: One is not; says which provider has it and what to install.
    """
    absent = missing(binaries, wanted)
    if not absent:
        return
    steps = [step for name in absent for step in _remedies(name, binaries, others)]
    raise ExtensionMissing(
        "the extensions of the settings were looked for",
        on=", ".join(absent),
        seen=f"not in {binaries.origin} (PostgreSQL {binaries.version}, {binaries.sharedir / 'extension'})",
        todo=tuple(dict.fromkeys(steps)),
        extensions=absent,
    )


def _remedies(name: str, binaries: Binaries, others: Sequence[Binaries]) -> list[str]:
    owners = [one for one in others if name in one.extensions]
    steps = [
        f"use {one.origin}, PostgreSQL {one.version}, which has {name}: {_setting(one)}"
        for one in owners
    ]
    if close := difflib.get_close_matches(name, binaries.extensions, n=1):
        steps.insert(0, f"did you mean {close[0]}?")
    if not owners:
        package = debian_package(name, binaries.version.major)
        steps.append(
            f'server = "system" with the extension installed, on Debian: apt-get install {package}'
        )
    return steps


def _setting(binaries: Binaries) -> str:
    provider = "system" if binaries.origin == "system" else "embedded"
    return f'server = "{provider}", postgres = "{binaries.version.major}"'
