"""What a template was made from, as a chain of digests: equal chains, equal templates. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.templates.digests import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from freshpg.templates.blueprint import Blueprint
    from freshpg.templates.migrations.base import Input, StepInputs

FORMAT = "1"
"""Part of every fingerprint: to be raised whenever the builder makes something else from the same inputs."""


@dataclass(frozen=True, slots=True)
class Link:
    """One step: what must be equal, and the history that may have grown."""

    fixed: str
    history: frozenset[str] = frozenset()

    @classmethod
    def of(cls, inputs: StepInputs) -> Link:
        """Return the link for all that a step reads."""
        return cls(
            fixed=digest(*(_text(one) for one in inputs.fixed)),
            history=frozenset(digest(_text(one)) for one in inputs.history),
        )

    @property
    def digest(self) -> str:
        """Digest of the whole step."""
        return digest(self.fixed, *sorted(self.history))


@dataclass(frozen=True, slots=True)
class Chain:
    """A base (server build, extensions, options) and the steps on top of it, in order."""

    base: str
    links: tuple[Link, ...]

    @property
    def digests(self) -> tuple[str, ...]:
        """One digest for the base and one for each step, each of everything up to there; the last is the whole."""
        found = [self.base]
        for link in self.links:
            found.append(digest(found[-1], link.digest))
        return tuple(found)

    @property
    def fingerprint(self) -> str:
        """Digest of the whole chain: what a template is named by."""
        return self.digests[-1]

    def first(self, count: int) -> Chain:
        """Return the chain of the first ``count`` steps."""
        return Chain(self.base, self.links[:count])

    def facts(self) -> dict[str, Any]:
        """Return what must be kept beside the fingerprint for :func:`start_after`; fit for JSON."""
        if not self.links or not self.links[-1].history:
            return {}
        last = self.links[-1]
        return {
            "before": self.digests[-2],
            "fixed": last.fixed,
            "history": sorted(last.history),
        }


def chain_of(blueprint: Blueprint, steps: Iterable[StepInputs], *, build: str, owner: str) -> Chain:
    """Return the chain of a blueprint.

    Names of databases, deadlines and times are no part of it. ``build`` is the server's, down to the minor version: a
    template holds what that very build wrote.
    """
    base = digest(
        FORMAT,
        build,
        owner,
        "superuser" if blueprint.superuser else "",
        *(str(name) for name in blueprint.extensions),
    )
    return Chain(base, tuple(Link.of(inputs) for inputs in steps))


def start_after(chain: Chain, fingerprint: str, facts: Mapping[str, Any]) -> int | None:
    """Return how many steps of ``chain`` need not be run on a copy of a template with this fingerprint.

    ``None`` when the template is no start for this chain. When the template's last step had a shorter history, that
    step counts as not run: its tool finds out by itself what is missing.
    """
    digests = chain.digests
    if fingerprint in digests:
        return digests.index(fingerprint)
    before, history = facts.get("before"), facts.get("history")
    if before not in digests[:-1] or not isinstance(history, list):
        return None
    step = digests.index(str(before))
    link = chain.links[step]
    if link.fixed == facts.get("fixed") and link.history.issuperset(history):
        return step
    return None


def best_start(
    chain: Chain, candidates: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[int, int] | None:
    """Return which of the candidates, each fingerprint and facts, saves most steps, and how many."""
    found = (
        (saved, -number)
        for number, (fingerprint, facts) in enumerate(candidates)
        if (saved := start_after(chain, fingerprint, facts)) is not None
    )
    best = max(found, default=None)
    return (-best[1], best[0]) if best else None


def _text(one: Input) -> str:
    return digest(one.name, one.digest)
