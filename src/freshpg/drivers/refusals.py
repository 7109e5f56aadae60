"""What a driver cannot do at a level of isolation, and which level can."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from freshpg.core.errors import DriverUnusable

if TYPE_CHECKING:
    from freshpg.handle import Database

OTHER_LEVEL = "give this test isolation 'reset': @pytest.mark.pg(isolation=\"reset\"); there everybody commits for real"


def require_own_sessions(database: Database, what: str, *other: str) -> None:
    """Refuse what opens sessions of its own where a test has only one.

    Raises:
        DriverUnusable: The database has isolation ``rollback``.
    """
    if database.isolation == "rollback":
        raise DriverUnusable(
            f"{what} was asked for",
            on=database.name,
            seen="it has isolation 'rollback': all that a test does lies in one transaction of one session",
            todo=(OTHER_LEVEL, *other),
        )


def require_installed(module: str, install: str, what: str) -> None:
    """Refuse what needs a package that is not there.

    Raises:
        DriverUnusable: It is not installed.
    """
    if find_spec(module) is None:
        raise DriverUnusable(
            f"{what} was asked for",
            on=module,
            seen="it is not installed in this environment",
            todo=(f"install it: pip install '{install}'",),
        )
