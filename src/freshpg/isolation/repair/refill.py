"""Putting back the rows of a seeded table from the saved copy of a fresh clone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from freshpg.postgres.admin import translate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freshpg.isolation.audit.facts import TableFacts
    from freshpg.isolation.audit.inside import Inside
    from freshpg.isolation.audit.pristine import Pristine

MOST_ROWS = 5_000
"""Of one table: more take longer to write than a clone takes to be put in place."""


def refill(inside: Inside, tables: Sequence[TableFacts], pristine: Pristine) -> bool:
    """Empty tables and fill them again, in one transaction; False, and nothing done, where that cannot be.

    Raises:
        FreshpgError: A statement failed; the rows are as before.
    """
    if not inside.replays:
        return False
    copies: list[tuple[TableFacts, bytes]] = []
    for table in tables:
        saved = pristine.rows_of(table) if table.rows <= MOST_ROWS else None
        if saved is None:
            return False
        copies.append((table, saved))
    connection = inside.admin.connection
    statement = ""
    try:
        with connection.transaction(), connection.cursor() as cursor:
            for table, saved in copies:
                statement = f"COPY {table.sql} ({', '.join(table.columns)}) FROM STDIN"
                cursor.execute(f"DELETE FROM ONLY {table.sql}".encode())
                with cursor.copy(statement.encode()) as copy:
                    copy.write(saved)
    except psycopg.Error as error:
        raise translate(error, statement, inside.admin.conninfo) from error
    return True
