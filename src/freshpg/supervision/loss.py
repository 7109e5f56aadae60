"""What was seen of the end of a server, or of a lease on one that others use: all databases there are lost. Pure."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.errors import LeaseLost, ServerDied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.errors import FreshpgError

LAST_LINES = 10
"""Lines of a dead server's log that an error shows."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One end: what it was, what was seen of it, and facts for programs."""

    cause: type[FreshpgError]
    what: str
    server: str
    seen: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_process(
        cls, server: str, pid: int, *, status: int | None, log: str, why: str = ""
    ) -> Self:
        """Return the loss of a server of ours; ``status`` is the one of its process, where it is known."""
        ended = f"process {pid} of the server {_ended_how(status)}"
        lines = [ended, *([why] if why else []), *_last_lines(log)]
        facts = {"server": server, "status": status, "log": log}
        return cls(ServerDied, "the server went away", server, "\n".join(lines), facts)

    @classmethod
    def of_lease(cls, server: str, seen: str) -> Self:
        """Return the loss of a lease on somebody else's server: others may have used our slots since."""
        return cls(LeaseLost, "the lease on its server ended", server, seen, {"server": server})

    def error(self, database: str = "") -> FreshpgError:
        """Return the error for whoever had this database, or wanted one."""
        return self.cause(
            f"a test had this database when {self.what}" if database else self.what,
            on=f"database {database} on server {self.server}" if database else self.server,
            seen=self.seen,
            todo=(
                "run the test again: it gets a database of a new server, or under a new lease",
                "where the same test is hit again, look at what it does to the server",
            ),
            **self.data,
        )


def _ended_how(status: int | None) -> str:
    if status is None:
        return "is gone"
    if status >= 0:
        return f"exited with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"


def _last_lines(log: str) -> list[str]:
    lines = [line for line in log.splitlines() if line.strip()][-LAST_LINES:]
    return ["the last lines of its log:", *(f"  {line}" for line in lines)] if lines else []
