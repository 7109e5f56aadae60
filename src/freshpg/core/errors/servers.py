"""Errors of servers, and of the processes that keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from freshpg.core.errors.base import FreshpgError

if TYPE_CHECKING:
    from freshpg.core.errors.base import Origin


class ServerError(FreshpgError):
    """The server side failed, not the code under test."""

    code, title = "FPG-S00", "a server failed"
    origin: ClassVar[Origin] = "infrastructure"


class NoServer(ServerError):
    """No provider has a PostgreSQL server."""

    code, title = "FPG-S01", "no PostgreSQL server to be had"


class ServerUnreachable(ServerError):
    """Nothing answers at the address."""

    code, title = "FPG-S02", "the server cannot be reached"


class LoginRefused(ServerError):
    """The server answers but refuses the role or the password."""

    code, title = "FPG-S03", "the server refused the login"


class ServerTooOld(ServerError):
    """The server's version is below the oldest one supported."""

    code, title = "FPG-S04", "the server's version is not supported"


class CreateDatabaseRefused(ServerError):
    """The role may not create databases, or creating was not allowed by the settings."""

    code, title = "FPG-S05", "databases may not be created there"


class DiskFull(ServerError):
    """No space left where the server or an image lives."""

    code, title = "FPG-S06", "no space left"


class ServerStartFailed(ServerError):
    """A server of ours did not start."""

    code, title = "FPG-S07", "a server did not start"


class ServerDied(ServerError):
    """A running server vanished or cut the connection."""

    code, title = "FPG-S08", "the server went away"


class KeeperFailed(ServerError):
    """The keeper process could not be started or spoken to."""

    code, title = "FPG-S09", "the keeper does not answer"


class KeeperRefused(KeeperFailed):
    """The keeper will not do what was asked.

    ``kind`` says why: ``gone``, ``owned``, ``outside``, ``exists``, ``system`` or ``misspoken``.
    """

    code, title = "FPG-S14", "the keeper refused a request"


class KeeperGone(KeeperFailed):
    """The connection to the keeper ended."""

    code, title = "FPG-S15", "the keeper is gone"


class PathUnusable(ServerError):
    """A directory for data, sockets or the cache cannot be used safely."""

    code, title = "FPG-S10", "a directory cannot be used"


class TooManyConnections(ServerError):
    """The server has no connection left."""

    code, title = "FPG-S11", "the server has no connection left"


class ImageInvalid(ServerError):
    """A cached image failed its verification."""

    code, title = "FPG-S12", "a cached image cannot be trusted"


class StatementFailed(ServerError):
    """A control statement of freshpg was refused by the server."""

    code, title = "FPG-S13", "the server refused a control statement"
    origin: ClassVar[Origin] = "ours"


class RestartsExhausted(ServerError):
    """Something that a run needs crashed too often in a short time and is not started any more.

    ``child`` says what: ``postmaster``, ``keeper``, ``lease`` or ``stock``; ``crashes`` how often.
    """

    code, title = "FPG-S16", "restarting did not help"


class EmergencyMode(ServerError):
    """Too many of the last hand-outs failed, here and in the other workers: none is tried for a while.

    ``retry_in`` says for how many seconds, ``because`` what the last one failed of.
    """

    code, title = "FPG-S17", "nothing is handed out for now"


class SystemLimit(ServerError):
    """The system has no open file, process or memory left for this process; ``errno`` says which."""

    code, title = "FPG-S18", "a limit of the system was reached"
