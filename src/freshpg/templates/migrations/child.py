"""A process of somebody else's code: in a group of its own, bounded in time, gone afterwards with all it started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from freshpg.core.clock import Deadline
    from freshpg.core.conninfo import Conninfo

OUTPUT_BYTES = 4000
"""How much of the end of a child's output an error shows."""

# https://www.postgresql.org/docs/current/libpq-envars.html
_DYING_SECONDS = 10.0
"""How long a killed program may take to be gone."""

_LIBPQ = re.compile(r"PG[A-Z0-9]+|DATABASE_URL|FRESHPG_URL")


def environment_for(conninfo: Conninfo) -> dict[str, str]:
    """Return our environment with nothing in it that leads to another database."""
    inherited = {key: value for key, value in os.environ.items() if not _LIBPQ.fullmatch(key)}
    return {**inherited, **conninfo.environment()}


class Child:
    """Runs a program until the ``with`` block ends; then its whole process group is killed.

    Args:
        argv: The program and its arguments; no shell is between.
        environment: All of its environment.
        directory: Where it works.
        stdin: What it may read; the end of file comes after that.
        report: A file it inherits under the same number, for words that are not meant for a person.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        stdin: bytes = b"",
        report: BinaryIO | None = None,
    ) -> None:
        self._files = ExitStack()
        with ExitStack() as unless_started:
            unless_started.push(self._files)
            # Files, not pipes: a grandchild that keeps a pipe open would make its reader wait.
            self._output = self._files.enter_context(tempfile.TemporaryFile())
            source = self._files.enter_context(tempfile.TemporaryFile())
            source.write(stdin)
            source.seek(0)
            self._process = subprocess.Popen(
                argv,
                env=environment,
                cwd=directory,
                stdin=source,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=() if report is None else (report.fileno(),),
                start_new_session=True,
            )
            unless_started.pop_all()

    @property
    def pid(self) -> int:
        """Process id, and id of its group and session."""
        return self._process.pid

    def wait(self, deadline: Deadline) -> int | None:
        """Return the exit status, negative for a signal, or ``None`` when the deadline comes first."""
        try:
            return self._process.wait(timeout=deadline.remaining)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, if it still runs."""
        self._process.send_signal(number)

    def output(self) -> str:
        """Return the end of what it and its children have written so far."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - OUTPUT_BYTES))
        text = self._output.read().decode(errors="replace").strip()
        return text if size <= OUTPUT_BYTES else "…" + text.partition("\n")[2]

    def kill(self) -> None:
        """End it and all it started; again is fine."""
        # The number of a group is not given away while a member lives, so whoever this hits was started by the child.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        # It may be beyond reach: another user's, or stuck in the kernel.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_DYING_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._files.close()
