"""Which provider serves: asked in order, each answer kept so that it can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import NoServer
from freshpg.servers.binaries import Binaries
from freshpg.servers.providers.container import ContainerProvider
from freshpg.servers.providers.embedded import EmbeddedProvider
from freshpg.servers.providers.system import SystemProvider
from freshpg.servers.providers.url import UrlProvider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freshpg.servers.providers.base import Finding, Provider

KINDS: Final = ("auto", "embedded", "system", "container")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One provider asked: whether its server was taken, and why."""

    provider: str
    taken: bool
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The server that was chosen, and how."""

    provider: str
    taken: Binaries | Conninfo
    why: str
    trail: tuple[Attempt, ...]
    #: Everything else that was seen, to say who has a missing extension.
    others: tuple[Binaries, ...] = ()

    @property
    def binaries(self) -> Binaries | None:
        """The programs of a server of ours; None for somebody else's server."""
        return self.taken if isinstance(self.taken, Binaries) else None

    @property
    def binaries_seen(self) -> tuple[Binaries, ...]:
        """Every installation that was seen, the chosen one first."""
        return (self.binaries, *self.others) if self.binaries else self.others

    @property
    def conninfo(self) -> Conninfo | None:
        """The address of somebody else's server; None for a server of ours."""
        return self.taken if isinstance(self.taken, Conninfo) else None


def providers_for(
    server: str, *, cache_root: Path | None = None, allow_create: bool = False
) -> tuple[Provider, ...]:
    """Return who is asked for the setting ``server``, in order.

    Raises:
        NotYetAvailable: ``container`` was asked for.
        UrlInvalid: It is neither one of :data:`KINDS` nor an address.
    """
    embedded, system = EmbeddedProvider(cache_root), SystemProvider(cache_root)
    if server == "container":
        raise ContainerProvider.refusal()
    known: dict[str, tuple[Provider, ...]] = {
        "auto": (embedded, system),
        "embedded": (embedded,),
        "system": (system,),
    }
    return known.get(server) or (UrlProvider(Conninfo.parse(server), allow_create=allow_create),)


def resolve(
    providers: Sequence[Provider], major: int | None = None, *, ask_all: bool = False
) -> Choice:
    """Ask ``providers`` in order and return the first server of version ``major`` (None: any).

    With ``ask_all`` the others are asked too, for the trail and for what they have beside.

    Raises:
        NoServer: Nobody has one; lists every answer and what to install.
    """
    findings: list[Finding] = []
    chosen: Finding | None = None
    for provider in providers:
        if chosen is not None and not ask_all:
            break
        finding = provider.find(major)
        findings.append(finding)
        chosen = chosen or (finding if finding.taken is not None else None)
    trail = tuple(_attempt(finding, chosen) for finding in findings)
    if chosen is None or chosen.taken is None:
        raise _nobody(findings, trail, major)
    others = tuple(one for one in _all_binaries(findings) if one is not chosen.taken)
    return Choice(chosen.provider, chosen.taken, chosen.why, trail, others)


def _attempt(finding: Finding, chosen: Finding | None) -> Attempt:
    if finding is chosen:
        return Attempt(finding.provider, taken=True, why=finding.why)
    spare = "not needed; has " if finding.taken is not None else ""
    return Attempt(finding.provider, taken=False, why=spare + finding.why)


def _all_binaries(findings: Sequence[Finding]) -> tuple[Binaries, ...]:
    taken = (finding.taken for finding in findings if isinstance(finding.taken, Binaries))
    return (*taken, *(one for finding in findings for one in finding.others))


def _nobody(findings: Sequence[Finding], trail: tuple[Attempt, ...], major: int | None) -> NoServer:
    steps = [step for finding in findings for step in finding.todo]
    return NoServer(
        f"a PostgreSQL {major or 'server'} was looked for",
        on=", ".join(attempt.provider for attempt in trail),
        seen="\n".join(f"{attempt.provider}: {attempt.why}" for attempt in trail),
        todo=(
            *dict.fromkeys(steps),
            'or name a running server: server = "postgresql://user@host:5432/postgres"',
        ),
        trail=trail,
    )
