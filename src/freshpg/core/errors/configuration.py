"""Errors in what the user wrote: settings, names, markers, URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from freshpg.core.errors.base import FreshpgError

if TYPE_CHECKING:
    from freshpg.core.errors.base import Origin


class ConfigurationError(FreshpgError):
    """Something the user wrote cannot be used; nothing was changed."""

    code, title = "FPG-C00", "configuration cannot be used"
    origin: ClassVar[Origin] = "yours"


class SettingsInvalid(ConfigurationError):
    """A key, type or value in a settings file, the environment or an option is wrong."""

    code, title = "FPG-C01", "a setting is not valid"


class NameInvalid(ConfigurationError):
    """A database name cannot be used: empty, NUL, too long in bytes, reserved, or not ours."""

    code, title = "FPG-C02", "a database name cannot be used"


class UrlInvalid(ConfigurationError):
    """A server URL cannot be understood."""

    code, title = "FPG-C03", "a server URL cannot be understood"


class BlueprintInvalid(ConfigurationError):
    """A blueprint contradicts itself, another one, or says too little."""

    code, title = "FPG-C04", "a blueprint cannot be used"


class IsolationUnknown(ConfigurationError):
    """A level of isolation that does not exist was asked for."""

    code, title = "FPG-C05", "unknown level of isolation"


class NotYetAvailable(ConfigurationError):
    """A part of the public interface that this version does not have yet."""

    code, title = "FPG-C06", "not in this version yet"


class UsageInvalid(ConfigurationError):
    """A call, fixture, marker or option was used in a way that cannot work."""

    code, title = "FPG-C07", "used in a way that cannot work"


class TableUnknown(ConfigurationError):
    """A table was named that the database does not have, or has more than once.

    ``nearest`` are the names it has that come near, the nearest first.
    """

    code, title = "FPG-C08", "no such table"


class DjangoUnusable(ConfigurationError):
    """Django is missing or too old, or its settings name a database that freshpg cannot make."""

    code, title = "FPG-C10", "Django cannot be used like this"


class DriverUnusable(ConfigurationError):
    """A driver or fixture cannot work here: at this level of isolation, without an event loop, or not installed."""

    code, title = "FPG-C11", "a driver cannot be used like this"
