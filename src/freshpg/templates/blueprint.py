"""How one named database is made: what the user says, checked before anything is touched."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from freshpg.core.errors import BlueprintInvalid
from freshpg.core.names import validate_database_name
from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freshpg.core.settings import Settings
    from freshpg.templates.migrations.base import StepSpec

DEFAULT_DEADLINE = 600.0
"""Seconds all migrations and seeds of one blueprint may take together."""

_ENDING = re.compile(
    r"_(\d+|template_[0-9a-f]+|building_[0-9a-f]+|ready_\d+|failed_\d+|readonly)", re.ASCII
)


@dataclass(frozen=True, slots=True, repr=False)
class Blueprint:
    """How one named database is made.

    Args:
        name: What the project calls it: ``main``, ``eventstore``.
        database: Name of the database, and start of the names of its slots and templates.
        migrations: Steps in order, as in the settings (``"db/schema.sql"``, ``"alembic:alembic.ini"``) or callables.
        seed: Steps of the same kinds that fill it with data, after the migrations.
        extensions: Created by the admin before the first step, in this order.
        superuser: Whether steps and tests connect as a superuser.
        deadline: Seconds all steps may take together.
        root: Directory that paths are relative to; the current one when not given.

    Raises:
        BlueprintInvalid: A value contradicts the rest or says too little.
        NameInvalid: ``database`` cannot be a database's name.
    """

    name: str
    database: str
    migrations: Sequence[StepSpec]
    seed: Sequence[StepSpec] = ()
    extensions: Sequence[str] = ()
    superuser: bool = False
    deadline: float = DEFAULT_DEADLINE
    root: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise self._invalid("its name is empty", "name it, for example 'main'")
        validate_database_name(self.database)
        for key in ("migrations", "seed", "extensions"):
            object.__setattr__(self, key, self._sequence(key))
        object.__setattr__(self, "root", Path(self.root).absolute())
        if not (math.isfinite(self.deadline) and self.deadline > 0):
            raise self._invalid(
                f"its deadline is {self.deadline!r}", "give seconds, more than 0", key="deadline"
            )

    def __repr__(self) -> str:
        values = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
        # A step may be a command with a password in it.
        return redact(f"Blueprint({values})")

    @classmethod
    def from_settings(cls, settings: Settings, name: str = "main") -> Blueprint:
        """Return what the project's settings say of the blueprint called ``name``.

        Raises:
            BlueprintInvalid: There is none of this name, or as for the constructor.
            NameInvalid: As for the constructor.
        """
        own = settings.database(name)
        return cls(
            name=name,
            database=own.name,
            migrations=own.migrations or (),
            seed=own.seed,
            extensions=own.extensions,
            superuser=bool(own.superuser),
            deadline=own.deadline or settings.deadline,
            root=settings.root,
        )

    def _sequence(self, key: str) -> tuple[StepSpec, ...]:
        value = getattr(self, key)
        if isinstance(value, str) or callable(value):
            raise self._invalid(f"its {key} is {value!r}", f"give a list: [{value!r}]", key=key)
        values = tuple(value)
        for entry in values:
            usable = isinstance(entry, str) or (callable(entry) and key != "extensions")
            if not usable or (isinstance(entry, str) and (not entry.strip() or "\0" in entry)):
                raise self._invalid(
                    f"{key} holds {entry!r}", "remove it, or write it as text", key=key
                )
        return values

    def _invalid(self, seen: str, *todo: str, key: str = "") -> BlueprintInvalid:
        return BlueprintInvalid(
            "a blueprint was checked before anything was made",
            on=f"blueprint {self.name!r}",
            seen=seen,
            todo=todo,
            blueprint=self.name,
            key=key,
        )


def check_blueprints(blueprints: Iterable[Blueprint]) -> None:
    """Make sure that no two blueprints would use a database of the same name.

    Raises:
        BlueprintInvalid: Two have one name, or one's slots, templates or kept databases would be called as another.
    """
    seen: list[Blueprint] = []
    for blueprint in blueprints:
        for other in seen:
            clash = _clash(other, blueprint)
            if clash:
                raise BlueprintInvalid(
                    "blueprints were compared before anything was made",
                    on=f"blueprints {other.name!r} and {blueprint.name!r}",
                    seen=clash,
                    todo=(
                        f"give one of them another name: [tool.freshpg.databases.{blueprint.name}] name = …",
                    ),
                    blueprints=(other.name, blueprint.name),
                )
        seen.append(blueprint)


def _clash(one: Blueprint, two: Blueprint) -> str:
    if one.name == two.name:
        return f"both are called {one.name!r}"
    if one.database == two.database:
        return f"both use the database {one.database!r}"
    short, long = sorted((one.database, two.database), key=len)
    if long.startswith(short) and _ENDING.fullmatch(long.removeprefix(short)):
        return f"{long!r} is a name that freshpg makes for databases of {short!r} by itself"
    return ""
