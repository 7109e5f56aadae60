"""A blueprint read and checked: its steps and their fingerprint, before any server is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.templates.fingerprint import Chain, chain_of
from freshpg.templates.migrations import parse_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freshpg.templates.blueprint import Blueprint
    from freshpg.templates.migrations.base import Step, StepSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a blueprint in order, seeds last, and the chain that names the outcome."""

    blueprint: Blueprint
    steps: tuple[Step, ...]
    seeds: int
    """How many of the steps, counted from the end, are seeds."""
    chain: Chain

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the finished template."""
        return self.chain.fingerprint

    def without_seeds(self) -> Plan:
        """Return the plan of the migrations alone."""
        count = len(self.steps) - self.seeds
        return Plan(self.blueprint, self.steps[:count], 0, self.chain.first(count))


def plan_of(blueprint: Blueprint, *, build: str, owner: str) -> Plan:
    """Read everything a blueprint names; nothing is run.

    Args:
        blueprint: What to read.
        build: The server's build, down to the minor version.
        owner: The role that will own the database.

    Raises:
        MigrationMissing, MigrationUnreadable: A step names something that is not there or cannot be read.
        BlueprintInvalid: A step cannot be understood.
    """
    migrations = _steps(blueprint, blueprint.migrations)
    seeds = _steps(blueprint, blueprint.seed)
    steps = migrations + seeds
    chain = chain_of(blueprint, (step.inputs() for step in steps), build=build, owner=owner)
    return Plan(blueprint, steps, len(seeds), chain)


def _steps(blueprint: Blueprint, specs: Sequence[StepSpec]) -> tuple[Step, ...]:
    return tuple(part for spec in specs for part in parse_step(spec, blueprint.root).parts())
