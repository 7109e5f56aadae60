"""What a provider answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from freshpg.servers.version import OLDEST_MAJOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from freshpg.core.conninfo import Conninfo
    from freshpg.core.errors import NoServer
    from freshpg.servers.binaries import Binaries


@dataclass(frozen=True, slots=True)
class Finding:
    """One provider's answer.

    Attributes:
        provider: Its name.
        taken: What it offers, or None when it was passed over.
        why: Why it was taken or passed over, one sentence for a person.
        todo: What would make it usable, most likely first.
        others: Everything else it has, usable for another major version.
    """

    provider: str
    taken: Binaries | Conninfo | None
    why: str
    todo: tuple[str, ...] = ()
    others: tuple[Binaries, ...] = ()


class Provider(Protocol):
    """A source of servers."""

    @property
    def name(self) -> str:
        """The word settings and messages use for it."""

    def find(self, major: int | None) -> Finding:
        """Return what it has, of major version ``major`` or the newest; never raises for having nothing."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What examining several directories gave."""

    usable: tuple[Binaries, ...]
    broken: tuple[NoServer, ...]


def gather(probes: Iterable[Callable[[], Binaries]]) -> Gathered:
    """Run each probe once and sort the answers."""
    from freshpg.core.errors import NoServer

    usable: list[Binaries] = []
    broken: list[NoServer] = []
    for examine in probes:
        try:
            usable.append(examine())
        except NoServer as problem:
            broken.append(problem)
    return Gathered(tuple(usable), tuple(broken))


def choose(gathered: Gathered, major: int | None) -> tuple[Binaries | None, str]:
    """Return the newest that fits, and why; among equals the one found first.

    Without a wanted major any supported version fits.
    """
    fitting = [one for one in gathered.usable if one.version.major == (major or one.version.major)]
    supported = [one for one in fitting if one.version.major >= OLDEST_MAJOR]
    if supported:
        best = max(supported, key=lambda one: one.version.number)
        return best, f"PostgreSQL {best.version} in {best.bindir}"
    return None, _why_none(gathered, fitting, major)


def _why_none(gathered: Gathered, fitting: list[Binaries], major: int | None) -> str:
    if fitting:
        return (
            f"PostgreSQL {fitting[0].version} in {fitting[0].bindir} is older than {OLDEST_MAJOR}"
        )
    reasons = [f"{problem.on}: {problem.seen}" for problem in gathered.broken]
    if gathered.usable:
        have = ", ".join(sorted({str(one.version) for one in gathered.usable}))
        reasons.insert(0, f"has PostgreSQL {have}, and {major} is wanted")
    return "; ".join(reasons)
