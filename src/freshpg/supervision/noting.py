"""Errors into the log of errors, from wherever databases are used: tests, scripts, commands, Django's runner."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import ConfigurationError, FreshpgError
from freshpg.core.log import ErrorLog
from freshpg.supervision.failures import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.core.settings import Settings
    from freshpg.supervision.failures import Failure

_NOTED = "_freshpg_noted"


def log_of(settings: Settings, *, who: str = "") -> ErrorLog:
    """Return the log of a project; no file is made before the first line."""
    password = settings.conninfo.password if settings.conninfo else None
    return ErrorLog(settings.root / ".freshpg" / "log", who=who, secrets=(password,))


def facts_of(failure: Failure, error: BaseException) -> dict[str, Any]:
    """Return what a line says of a failure."""
    facts: dict[str, Any] = {
        "code": failure.code,
        "title": failure.headline,
        "sqlstate": failure.sqlstate,
        "error": f"{type(error).__module__}.{type(error).__qualname__}",
    }
    if isinstance(error, FreshpgError):
        return facts | {key: error.to_json()[key] for key in ("what", "on", "seen", "do")}
    return facts | {"seen": str(error)}


def note(log: ErrorLog, error: BaseException, **facts: Any) -> None:
    """Write an error down, once through however many layers it goes.

    Left out is what says nothing of databases, and a mistake in the settings: it changes nothing, and is found again
    at once.
    """
    failure = classify(error)
    if failure.code.startswith("PY-") or isinstance(error, ConfigurationError):
        return
    if not getattr(error, _NOTED, False):
        log.write(failure.kind, **facts_of(failure, error), **facts)
        with suppress(AttributeError):
            setattr(error, _NOTED, True)


@contextmanager
def noted(log: Callable[[], ErrorLog], **facts: Any) -> Iterator[None]:
    """Write down what the body raises."""
    try:
        yield
    except Exception as error:
        note(log(), error, **facts)
        raise
