"""Running somebody's program in our place: its terminal, its signals, its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
"""A supervisor sends these to one process; a terminal sends its own to the whole group, so to the child as well."""

FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


def missing_program(name: str) -> UsageInvalid | None:
    """Return why a program cannot be run; None when it can."""
    if shutil.which(name):
        return None
    exists = os.sep in name and os.path.exists(name)  # noqa: PTH110 (a Path would lose the leading ./)
    return UsageInvalid(
        "a program was looked for",
        on=name,
        seen="it may not be executed" if exists else "there is no command of this name",
        todo=(f"chmod +x {name}",) if exists else ("check its name, and PATH",),
        exit_code=126 if exists else 127,
    )


def run_child(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program with our standard streams, in our process group, and return its exit code as a shell would.

    128 + n when signal n ended it. Ctrl-C is the child's affair from here on; when this has returned it is ignored,
    so that a second one does not cut short what cleans up.
    """
    relay = _Relay()
    # Handlers, unlike SIG_IGN, are not inherited by the child.
    for number in PASSED_ON:
        signal.signal(number, relay)
    for number in FROM_TERMINAL:
        signal.signal(number, lambda *_: None)
    return relay.run(argv, environment)


class _Relay:
    """Passes signals on to a child, those that came before it was there included."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> int:
        # The streams are inherited and the group stays ours: Ctrl-C, Ctrl-Z and pipes work as without us.
        self._process = subprocess.Popen(argv, env=dict(environment))
        for number in self._early:
            self(number, None)
        code = self._process.wait()
        return code if code >= 0 else 128 - code
