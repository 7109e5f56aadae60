"""The kind ``run:command``: any program, told by its environment which database to work on."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.core.errors import BlueprintInvalid, MigrationFailed, MigrationMissing
from freshpg.core.redaction import redact
from freshpg.templates.digests import digest
from freshpg.templates.migrations.base import Input, StepInputs
from freshpg.templates.migrations.child import Child, environment_for
from freshpg.templates.migrations.diagnosis import end_sessions, timed_out
from freshpg.templates.migrations.sources import digest_tree

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A command line, split as a shell splits it but run without one."""

    spec: str
    command: str
    root: Path

    def parts(self) -> tuple[CommandStep, ...]:
        """Return itself: what a program does cannot be divided."""
        return (self,)

    def inputs(self) -> StepInputs:
        """Return the command and the digests of the files and directories of the project that it names.

        What else the program reads cannot be known; name it as an argument, or change the command.

        Raises:
            BlueprintInvalid: The quotes of the command do not match.
            MigrationMissing: There is no such program.
        """
        argv = self._argv()
        self._program(argv[0])
        named = [self.root / word for word in argv]
        return StepInputs(
            fixed=(
                Input(self.spec, digest(*argv)),
                *(found for path in named for found in digest_tree(path, self.root)),
            )
        )

    def apply(self, target: Target, deadline: Deadline) -> None:
        """Run it in the project's directory with ``PG*``, ``DATABASE_URL`` and ``FRESHPG_URL`` set.

        Raises:
            MigrationFailed: It ended with another status than 0.
            MigrationTimedOut: It did not end in time; it and all it started were killed.
        """
        argv = self._argv()
        argv[0] = self._program(argv[0])
        environment = environment_for(target.conninfo)
        with Child(argv, environment=environment, directory=self.root) as child:
            status = child.wait(deadline)
            if status is None:
                error = timed_out(
                    self.spec, target, deadline.elapsed, on=self.spec, also=_quoted(child.output())
                )
                child.kill()
                end_sessions(target)
                raise error
            if status:
                raise self._failed(status, child.output())

    def _argv(self) -> list[str]:
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise BlueprintInvalid(
                "a command was split into words",
                on=repr(self.spec),
                seen=str(error),
                todo=("close the quote",),
                step=self.spec,
            ) from None

    def _program(self, name: str) -> str:
        local = self.root / name
        if os.sep in name and local.is_file() and os.access(local, os.X_OK):
            return str(local)
        found = None if os.sep in name else shutil.which(name)
        if found:
            return found
        exists = local.is_file()
        raise MigrationMissing(
            "a program was looked for",
            on=repr(self.spec),
            seen=f"{name} is a file that may not be executed"
            if exists
            else f"there is no {name}, neither in PATH",
            todo=(
                f'make it executable: chmod +x {name}, or name its interpreter: "run:sh {name}"'
                if exists
                else "install it, or write its path relative to the project, as in run:./migrate.sh",
            ),
            step=self.spec,
        )

    def _failed(self, status: int, output: str) -> MigrationFailed:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return MigrationFailed(
            f"{self.spec} {how}",
            on=self.spec,
            seen=_quoted(output) or "it wrote nothing",
            todo=("run it by hand: freshpg run -- " + redact(self.command),),
            step=self.spec,
            status=status,
            output=output,
        )


def _quoted(output: str, lines: int = 25) -> str:
    return "\n".join(f"| {line}" for line in output.splitlines()[-lines:])
