"""Run Python code of a project in a process of its own, so that it can be ended and leaves no trace in ours."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import MigrationFailed
from freshpg.templates.migrations.child import Child, environment_for
from freshpg.templates.migrations.diagnosis import end_sessions, timed_out
from freshpg.templates.migrations.failure import failed
from freshpg.templates.migrations.sources import search_path

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.templates.migrations.base import Target

# The path comes with the job, not in the environment: grandchildren of other Pythons must not inherit it.
_BOOTSTRAP = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from freshpg.templates.migrations.pychild import main; main(job)"
)


def run_python(
    kind: str,
    spec: str,
    job: dict[str, Any],
    target: Target,
    deadline: Deadline,
    *,
    directory: Path,
) -> None:
    """Carry out ``job`` of ``kind`` in a child process.

    Raises:
        MigrationFailed: It raised, exited or died.
        MigrationTimedOut: It did not end in time; it and all it started were killed.
    """
    argv = [sys.executable, "-P", "-c", _BOOTSTRAP]
    with tempfile.TemporaryFile() as report:
        whole = {
            **job,
            "kind": kind,
            "root": str(target.root),
            "path": search_path(target.root),
            "report": report.fileno(),
        }
        environment = environment_for(target.conninfo)
        with Child(
            argv,
            environment=environment,
            directory=directory,
            stdin=json.dumps(whole).encode(),
            report=report,
        ) as child:
            status = child.wait(deadline)
            if status is None:
                raise _timed_out(spec, child, target, deadline)
            report.seek(0)
            said = report.read()
            if not said:
                raise _died(spec, status, child.output())
            told = json.loads(said)
            if not told["done"]:
                raise failed(spec, told, child.output())


def _timed_out(spec: str, child: Child, target: Target, deadline: Deadline) -> Exception:
    # faulthandler writes the stack of every thread into the output while we ask the server.
    child.signal(signal.SIGUSR1)
    error = timed_out(spec, target, deadline.elapsed, on=spec, step=spec)
    stack = child.output()
    error.data["output"] = stack
    child.kill()
    end_sessions(target)
    error.seen += "\n" + "\n".join(f"| {line}" for line in stack.splitlines()[-25:])
    return error


def _died(spec: str, status: int, output: str) -> MigrationFailed:
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    words = "\n".join(f"| {line}" for line in output.splitlines()[-25:])
    return MigrationFailed(
        f"{spec} ended its process {how} before it was done",
        on=spec,
        seen=words or "it wrote nothing",
        todo=("look for os._exit() and for crashes of compiled modules",),
        step=spec,
        status=status,
        output=output,
    )
