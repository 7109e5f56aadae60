"""The databases that one process of Django's test runner uses, and the manager they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from freshpg.core.events import Bus
from freshpg.drivers.django.session import DjangoDatabases
from freshpg.manager import DatabaseManager
from freshpg.supervision.noting import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from freshpg.core.events import Event

_USER = "manage.py test"


class ProcessDatabases:
    """Databases leased through a manager of their own, from :meth:`start` to :meth:`end`.

    Args:
        aliases: Aliases of Django that the tests use; when there are none, nothing is started.
        tell: Called with each event.
        worker: Name of this process, for ``freshpg status``.
    """

    def __init__(
        self,
        aliases: Iterable[str],
        *,
        tell: Callable[[Event], None] | None = None,
        worker: str = "",
    ) -> None:
        self._aliases = tuple(aliases)
        self._bus = Bus([tell] if tell else [])
        self._worker = worker
        self._manager: DatabaseManager | None = None
        self._databases: DjangoDatabases | None = None

    def start(self) -> None:
        """Lease the databases and point the aliases at them.

        Raises:
            FreshpgError: One is not to be had, or an alias has none.
        """
        if not self._aliases:
            return
        self._manager = DatabaseManager.from_project(
            _project(), events=self._bus, holder=self._worker
        )
        manager = self._manager
        try:
            with noted(lambda: manager.log, test=_USER):
                self._databases = DjangoDatabases(manager, self._aliases, test=_USER).open()
        except BaseException:
            self.end()
            raise

    @property
    def names(self) -> dict[str, str]:
        """Name of the database behind each alias."""
        leased = self._databases
        return {alias: leased[alias].name for alias in leased.blueprints} if leased else {}

    def end(self) -> None:
        """Give the databases back; again is fine."""
        databases, self._databases = self._databases, None
        manager, self._manager = self._manager, None
        try:
            if databases is not None and manager is not None:
                with noted(lambda: manager.log, test=_USER):
                    databases.close()
        finally:
            if manager is not None:
                manager.stop()


def _project() -> Path:
    """Return where the settings of freshpg are looked for: what ``startproject`` calls ``BASE_DIR``, or where we are."""
    base = getattr(settings, "BASE_DIR", None)
    return Path(base) if base and Path(base).is_dir() else Path.cwd()
