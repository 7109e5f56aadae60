"""What a SQLSTATE means to freshpg: which error, and whose fault. Never the English text, which follows lc_messages.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core import errors

if TYPE_CHECKING:
    from freshpg.core.errors import FreshpgError, Origin

INVALID_AUTHORIZATION = frozenset({"28000", "28P01"})
TOO_MANY_CONNECTIONS = "53300"
DISK_FULL = "53100"
OBJECT_IN_USE = "55006"
DUPLICATE_DATABASE = "42P04"
UNDEFINED_DATABASE = "3D000"
INSUFFICIENT_PRIVILEGE = "42501"
QUERY_CANCELED = "57014"
LOCK_NOT_AVAILABLE = "55P03"
FEATURE_NOT_SUPPORTED = "0A000"
UNDEFINED_FILE = "58P01"
DEADLOCK = "40P01"
SERIALIZATION_FAILURE = "40001"
SHUTDOWN = frozenset({"57P01", "57P02", "57P03", "57P05"})

_EXACT: dict[str, type[FreshpgError]] = {
    TOO_MANY_CONNECTIONS: errors.TooManyConnections,
    DISK_FULL: errors.DiskFull,
    OBJECT_IN_USE: errors.DatabaseBusy,
    UNDEFINED_DATABASE: errors.DatabaseGone,
    QUERY_CANCELED: errors.WaitTimedOut,
    LOCK_NOT_AVAILABLE: errors.WaitTimedOut,
    **dict.fromkeys(INVALID_AUTHORIZATION, errors.LoginRefused),
    **dict.fromkeys(SHUTDOWN, errors.ServerDied),
}

_INFRASTRUCTURE_CLASSES = frozenset({"08", "53", "57", "58", "XX", "F0"})

_BY_NO_STATEMENT = frozenset(
    {
        DISK_FULL,
        "53000",  # insufficient resources
        "53200",  # out of memory
        "57P02",  # a crash of another session ended all of them
        "57P03",  # the server starts or stops
        "58000",  # the operating system failed
        "58030",  # a file could not be read or written
        "F0001",  # the lock file
        "XX001",  # data corrupted
        "XX002",  # index corrupted
    }
)
"""What no statement of a test brings about on a server that lives. Tests do end sessions (57P01, class 08), use up
connections (53300) and name files that are not there (58P01)."""


def error_class(sqlstate: str | None) -> type[FreshpgError]:
    """Return the error of ours for a failed control statement; without a SQLSTATE the connection broke."""
    if sqlstate is None:
        return errors.ServerDied
    if sqlstate.startswith("08"):
        return errors.ServerUnreachable
    return _EXACT.get(sqlstate, errors.StatementFailed)


def origin(sqlstate: str | None, *, server_lives: bool = False) -> Origin:
    """Return whose failure a SQLSTATE in a user's statement tells of; ``None`` is a connection that broke.

    Where the server is known to have lived on, the test may have cut the connection itself.
    """
    if server_lives:
        return "infrastructure" if sqlstate in _BY_NO_STATEMENT else "yours"
    if sqlstate is None or sqlstate[:2] in _INFRASTRUCTURE_CLASSES:
        return "infrastructure" if sqlstate != QUERY_CANCELED else "yours"
    return "yours"
