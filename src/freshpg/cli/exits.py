"""Exit codes of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.errors import ConfigurationError, ServerError

if TYPE_CHECKING:
    from freshpg.core.errors import FreshpgError

DONE = 0
FAILED = 1
USAGE = 2
ENVIRONMENT = 3
NOT_FOUND = 127
INTERRUPTED = 130


def code_for(error: FreshpgError) -> int:
    """Return the exit code an error ends a command with."""
    if isinstance(error, ConfigurationError):
        return USAGE
    return ENVIRONMENT if isinstance(error, ServerError) else FAILED
