"""When a reset and a session of the application wait for each other: the server ends one of the two, and both are told of.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from freshpg.postgres import sqlstate

if TYPE_CHECKING:
    from freshpg.core.errors import FreshpgError
    from freshpg.postgres.admin import Admin

_OTHERS = """
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), coalesce(left(a.query, 200), '')
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid = ANY(%s) AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.pid
"""


def is_conflict(error: FreshpgError) -> bool:
    """Whether a statement was given up for the sake of another session, so that it may work the next time."""
    state = error.data.get("sqlstate")
    return state in {sqlstate.DEADLOCK, sqlstate.SERIALIZATION_FAILURE}


def both_sides(admin: Admin, error: FreshpgError) -> str:
    """Return what the server said of a conflict, and what the other sessions named there do now.

    Raises:
        FreshpgError: The session is gone.
    """
    # Of a message in whatever language only the numbers are read; those that are no pid of a session name nobody.
    numbers = {int(found) for found in re.findall(r"\d{1,9}", error.seen)}
    others = [
        f"other side: pid {pid} {name!r} {state}: {' '.join(query.split())}"
        for pid, name, state, query in admin.rows(_OTHERS, (sorted(numbers),))
    ]
    return "\n".join((f"our side: {error.failed}", error.seen, *others))
