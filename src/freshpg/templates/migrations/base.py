"""What a migration or seed step is, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.core.conninfo import Conninfo
    from freshpg.postgres.admin import Admin

StepSpec = str | Callable[..., Any]
"""A step as the user wrote it: text of the settings, or a callable given in code."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a step reads: what it is called, relative to the project, and the digest of its contents."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class StepInputs:
    """Everything the outcome of a step depends on.

    ``fixed`` must be equal, in this order, for two steps to have the same outcome. ``history`` is for tools that
    know by themselves what they have applied already (alembic, django): a template made with a subset of it, each
    member with equal contents, is a valid start, from which the same step is applied once more.
    """

    fixed: tuple[Input, ...] = ()
    history: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a step works.

    ``conninfo`` reaches the new database as the test role; ``admin`` opens a control connection for extensions and
    diagnosis, on the coordination database and for the caller to close; ``root`` is the project; ``notes`` collects
    lines for a person (what was skipped, what ran slowly).
    """

    conninfo: Conninfo
    admin: Callable[[], Admin]
    root: Path
    notes: list[str] = field(default_factory=list)


class Step(Protocol):
    """One step of a blueprint."""

    @property
    def spec(self) -> str:
        """The step as written, for messages; the name of a callable."""

    def parts(self) -> tuple[Step, ...]:
        """Return the steps this one consists of, in order; ``(self,)`` when it is one.

        A directory or glob of SQL files returns a step a file, so that a template of the first files can be reused
        when one is added at the end.

        Raises:
            MigrationMissing: Something it names does not exist.
        """

    def inputs(self) -> StepInputs:
        """Return digests of all it reads; nothing is run and no server is asked.

        Raises:
            MigrationMissing: Something it names does not exist.
            MigrationUnreadable: It exists and cannot be read.
        """

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Do it, and leave neither a process nor a thread behind.

        Raises:
            MigrationFailed: The step's own failure, with file, line, statement and the server's words where known.
            MigrationTimedOut: It did not end before ``deadline``.
        """
