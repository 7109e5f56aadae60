"""Which driver an engine uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.errors import DriverUnusable
from freshpg.drivers.refusals import OTHER_LEVEL, require_installed

if TYPE_CHECKING:
    from freshpg.handle import Database

DEFAULT = "psycopg"
SYNCHRONOUS = ("psycopg", "psycopg2", "pg8000")
ASYNCHRONOUS = ("psycopg", "asyncpg")
DRIVERS = tuple(dict.fromkeys((*SYNCHRONOUS, *ASYNCHRONOUS)))

_IN_ONE_SESSION = ("psycopg", "asyncpg")
_INSTALL = {"psycopg2": "psycopg2-binary", "asyncpg": "freshpg[asyncpg]"}


def require_usable(database: Database, driver: str, *, asynchronous: bool) -> None:
    """Check that an engine with this driver can be had for a database.

    Raises:
        DriverUnusable: There is no such driver of this kind, it is not installed, or cannot share one session.
    """
    kind = "asynchronous" if asynchronous else "synchronous"
    able = ASYNCHRONOUS if asynchronous else SYNCHRONOUS
    if driver not in able:
        raise DriverUnusable(
            f"an {kind} engine was asked for" if asynchronous else f"a {kind} engine was asked for",
            on=repr(driver),
            seen=f"it is no {kind} driver that is known here",
            todo=(f"use one of: {', '.join(able)}",),
        )
    require_installed(driver, _INSTALL.get(driver, driver), f"an engine with {driver}")
    if asynchronous:
        require_installed("greenlet", "sqlalchemy[asyncio]", "an asynchronous engine")
    if database.isolation == "rollback" and driver not in _IN_ONE_SESSION:
        raise DriverUnusable(
            f"an engine with {driver} was asked for",
            on=database.name,
            seen=(
                "it has isolation 'rollback': all that a test does lies in one transaction of one session, "
                f"which {driver} cannot take part in"
            ),
            todo=('use driver "psycopg", which can', OTHER_LEVEL),
        )
