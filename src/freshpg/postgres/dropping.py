"""What comes around DROP DATABASE: trying again what was refused for a moment, and looking whether it is all gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.core.backoff import delays
from freshpg.core.errors import DatabaseBusy, FreshpgError
from freshpg.core.events import logger
from freshpg.postgres import sqlstate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from freshpg.core.clock import Deadline
    from freshpg.postgres.admin import Admin

_FIRST_PAUSE = 0.0003
_LONGEST_PAUSE = 0.1

_PASSING = frozenset({sqlstate.DEADLOCK, sqlstate.SERIALIZATION_FAILURE})
"""Refusals that are over once whoever was in the way has gone on."""

_LEFTOVERS = ("its row in pg_database", "sessions in it", "its directory")

# The function below pg_stat_activity: this runs once a clone.
_LEFT = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.oid = {oid}),
       EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(NULL) AS a WHERE a.datid = {oid})
"""

# Only a superuser may look at files. DROP DATABASE itself merely warns of a directory that it could not remove.
_LEFT_OWN = (
    _LEFT.format(oid="$1")
    + ", EXISTS (SELECT FROM pg_catalog.pg_stat_file('base/' || $1, true) AS f WHERE f.isdir)"
)


def pauses() -> Iterator[float]:
    """Yield seconds to wait between two looks or tries: short first, for most sessions end at once."""
    return delays(_FIRST_PAUSE, limit=_LONGEST_PAUSE, jitter=0.5)


def insist(
    name: str,
    act: Callable[[], object],
    *,
    limit: Deadline,
    shut: Callable[[], object],
) -> None:
    """Do what a database must be free for; when somebody came in between, shut it again and retry until the deadline.

    Raises:
        FreshpgError: What the server refused it for, the last time.
    """
    waits = pauses()
    while True:
        try:
            act()
        except FreshpgError as error:
            busy = isinstance(error, DatabaseBusy)
            if limit.expired or not (busy or error.data.get("sqlstate") in _PASSING):
                raise
            logger.debug(
                "an act on database %s was refused and is tried again: %s", name, error.seen
            )
            limit.clock.sleep(min(next(waits), limit.remaining))
            if busy:
                shut()
        else:
            return


def look_after(admin: Admin, name: str, oid: int, *, own: bool) -> list[str]:
    """Verify that nothing of a dropped database is left; return what is, and write it down."""
    # Somebody else's server may have a pooler before it, which knows no prepared statements.
    row = admin.prepared(_LEFT_OWN, oid) if own else admin.one(_LEFT.format(oid=oid))
    left = [what for what, is_there in zip(_LEFTOVERS, row or (), strict=False) if is_there]
    if left:
        logger.warning("of the dropped database %s is left: %s", name, ", ".join(left))
    else:
        logger.debug("the dropped database %s left no row, session or directory", name)
    return left
