"""Which blueprints a project has, what each comes to on a build, and which cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import BlueprintInvalid, FreshpgError
from freshpg.servers.cluster import SUPERUSER_ROLE, TEST_ROLE
from freshpg.templates.blueprint import Blueprint, check_blueprints
from freshpg.templates.plan import Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from freshpg.core.settings import Settings


def blueprints_of(settings: Settings, given: Iterable[Blueprint]) -> dict[str, Blueprint]:
    """Return the blueprints of the settings and those given in code, which win, by name.

    Raises:
        BlueprintInvalid: Two of them would use databases of one name.
    """
    found = {name: Blueprint.from_settings(settings, name) for name in settings.databases}
    in_code = {blueprint.name: blueprint for blueprint in given}
    if in_code and settings.origin("databases").text == "default":
        found.clear()
    found |= in_code
    check_blueprints(found.values())
    return found


@dataclass(frozen=True, slots=True)
class Plans:
    """The readable blueprints' plans, and why the others cannot be read: one bad blueprint leaves the rest working."""

    good: Mapping[str, Plan]
    bad: Mapping[str, FreshpgError]

    @classmethod
    def read(
        cls, blueprints: Iterable[Blueprint], *, build: str, check: Callable[[Blueprint], None]
    ) -> Plans:
        """Read everything the blueprints name, for a server of ours of this build; ``check`` raises what is missing."""
        good: dict[str, Plan] = {}
        bad: dict[str, FreshpgError] = {}
        for blueprint in blueprints:
            owner = SUPERUSER_ROLE if blueprint.superuser else TEST_ROLE
            try:
                check(blueprint)
                good[blueprint.name] = plan_of(blueprint, build=build, owner=owner)
            except FreshpgError as error:
                bad[blueprint.name] = error
        return cls(good, bad)

    def without(self, errors: Mapping[str, FreshpgError]) -> Plans:
        """Return the plans less those that turned out not to work."""
        return Plans(
            {name: plan for name, plan in self.good.items() if name not in errors},
            {**self.bad, **errors},
        )

    @property
    def determining(self) -> tuple[str, ...]:
        """What of the plans an image depends on."""
        return tuple(
            f"{plan.blueprint.database}={plan.fingerprint}" for _, plan in sorted(self.good.items())
        )


def unknown_blueprint(name: str, known: Iterable[str]) -> BlueprintInvalid:
    """Return the error for a blueprint that the project does not have."""
    return BlueprintInvalid(
        "a database was asked for",
        on=f"blueprint {name!r}",
        seen=f"the project has: {', '.join(known) or 'none'}",
        todo=(
            f"add [tool.freshpg.databases.{name}] to pyproject.toml",
            "or use one of those names",
        ),
        name=name,
    )


def of_blueprint(name: str, error: FreshpgError) -> FreshpgError:
    """Return the error with the blueprint it keeps from working, so that nobody takes it for another's."""
    if "blueprint" not in error.data:
        error.data["blueprint"] = name
        error.on = f"{error.on}, of blueprint {name!r}" if error.on else f"blueprint {name!r}"
    return error
