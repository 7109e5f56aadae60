"""Subscriptions of a database, which would keep it from being dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin

_THEIR_NAMES = """
SELECT s.subname FROM pg_catalog.pg_subscription s
 WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
"""


def drop_subscriptions(admin: Admin) -> None:
    """Drop them from inside, without a word to whoever publishes: its slot is not ours.

    https://www.postgresql.org/docs/current/sql-dropsubscription.html

    Raises:
        FreshpgError: The server refused.
    """
    for (name,) in admin.rows(_THEIR_NAMES):
        admin.execute(f"ALTER SUBSCRIPTION {ident(name)} DISABLE")
        admin.execute(f"ALTER SUBSCRIPTION {ident(name)} SET (slot_name = NONE)")
        admin.execute(f"DROP SUBSCRIPTION {ident(name)}")
