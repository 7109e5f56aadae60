"""What freshpg warns of by itself, without failing a test, goes into the log of errors too."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from freshpg.core.errors import FreshpgError
from freshpg.core.events import logger
from freshpg.core.log import ErrorLog
from freshpg.core.settings import load_settings
from freshpg.pytest_plugin.options import overrides_of

if TYPE_CHECKING:
    from freshpg.pytest_plugin.run import Run


class ToLog(logging.Handler):
    """Listens to the logger ``freshpg``; the file is made with the first warning."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.WARNING)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        """Write one warning down."""
        error = record.exc_info[1] if record.exc_info else None
        self._run.log.write(
            "ours",
            title=record.getMessage(),
            seen="" if error is None else f"{type(error).__name__}: {error}",
        )

    def listen(self) -> None:
        """Begin; again is fine."""
        logger.addHandler(self)

    def stop(self) -> None:
        """End; again is fine."""
        logger.removeHandler(self)


def log_of(run: Run) -> ErrorLog:
    """Return the log of errors of the project that is tested."""
    root, password = run.settings_begin, None
    # Settings that cannot be read are what is to be logged, then.
    with suppress(FreshpgError):
        settings = load_settings(root, environment=os.environ, overrides=overrides_of(run.config))
        root = settings.root
        password = settings.conninfo.password if settings.conninfo else None
    return ErrorLog(root / ".freshpg" / "log", who=run.worker, secrets=(password,))
