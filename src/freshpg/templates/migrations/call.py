"""The kind ``call:module:function``: a function of the project, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import MigrationMissing
from freshpg.templates.digests import digest
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.python import run_python
from freshpg.templates.migrations.sources import (
    digest_files,
    find_module,
    import_closure,
    search_path,
)

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target


@dataclass(frozen=True, slots=True)
class CallStep:
    """A function, synchronous or not; see :mod:`freshpg.templates.migrations.arguments` for what it is given."""

    spec: str
    module: str
    function: str
    root: Path

    def parts(self) -> tuple[CallStep, ...]:
        """Return itself."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return the digests of the module and of what it imports from the project.

        Raises:
            MigrationMissing: There is no such module.
        """
        file = find_module(self.module, search_path(self.root))
        if file is None:
            raise MigrationMissing(
                "a module was looked for",
                on=self.spec,
                seen=f"there is no {self.module.replace('.', '/')}.py in {self.root}, its src, or where Python looks",
                todo=(
                    "write it as call:package.module:function",
                    "install the project: pip install -e .",
                ),
                step=self.spec,
            )
        files = digest_files(import_closure(file, self.module, self.root), self.root)
        return StepInputs(fixed=(Input(self.spec, digest(self.function)), *files))

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Call it in a child process.

        Raises:
            MigrationFailed: It raised, exited or died.
            MigrationTimedOut: It did not return in time and was killed.
        """
        job = {"module": self.module, "function": self.function}
        run_python("call", self.spec, job, target, deadline, directory=self.root)
