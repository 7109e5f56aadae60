"""One run of pytest in one process, as far as it is known before a test asks for a database."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from freshpg.core.log import ErrorLog
    from freshpg.pytest_plugin.lending import Lending
    from freshpg.pytest_plugin.resume import Reports


class Run:
    """What the plugin knows of one run; the heavy half comes with the first fixture.

    Attributes:
        worker: Name of this xdist worker; empty when it is none.
        told: Errors shown in full, and the test each was shown at.
        accounts: What xdist workers counted.
        failures: Failures that concern databases, of this process and its workers, as plain data.
        reports: Sees every report; ``None`` in a worker of xdist.
        begun: What is lent; ``None`` while no fixture of ours was asked for.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "")
        self.told: dict[str, str] = {}
        self.accounts: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.reports: Reports | None = None
        self.begun: Lending | None = None
        self._born_pid = os.getpid()
        self._terminal = _copy_of_standard_error()

    @property
    def settings_begin(self) -> Path:
        """Directory from which the project's settings are looked for, upwards.

        Where pytest was called when that is inside its root: a root above the project has no settings of it.
        """
        called = self.config.invocation_params.dir
        return called if called.is_relative_to(self.config.rootpath) else self.config.rootpath

    @property
    def is_owner(self) -> bool:
        """Whether this is the process the run began in, and not a child that a test or a plugin forked."""
        return os.getpid() == self._born_pid

    @property
    def already(self) -> set[str]:
        """Ids of tests that an interrupted run has done with, and that this one takes up."""
        if self.reports is not None:
            return set(self.reports.already)
        return set(getattr(self.config, "workerinput", {}).get("freshpg_passed", ()))

    @property
    def account(self) -> dict[str, Any]:
        """What was counted here, as plain data; empty before the end and when nothing was used."""
        return self.begun.account if self.begun is not None else {}

    @property
    def lending(self) -> Lending:
        """What is lent; begins with the first question."""
        if self.begun is None:
            from freshpg.pytest_plugin.lending import Lending

            self.begun = Lending(self, terminal=self._terminal)
            self._terminal = -1
        return self.begun

    @property
    def has_something_to_say(self) -> bool:
        """Whether the last lines of the run have one of ours."""
        said = self.reports is not None and self.reports.said
        return bool(said or self.failures or self.account or self.accounts)

    @cached_property
    def log(self) -> ErrorLog:
        """The project's log of errors."""
        from freshpg.pytest_plugin.noted import log_of

        return log_of(self)

    def end(self) -> None:
        """Give everything back, and let go of the terminal and the log."""
        if self.begun is not None:
            self.begun.stop()
            self.begun.close()
        elif self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1


RUN = pytest.StashKey[Run]()


def _copy_of_standard_error() -> int:
    """Return a descriptor made before pytest captures a test's output; workers of xdist share it with the controller."""
    try:
        return os.dup(2)
    except OSError:
        return -1
