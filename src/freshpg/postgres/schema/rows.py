"""Copying rows between two databases of one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from freshpg.postgres.admin import translate
from freshpg.postgres.quoting import ident

if TYPE_CHECKING:
    from freshpg.postgres.admin import Admin
    from freshpg.postgres.schema.model import Table


def copy_rows(source: Admin, target: Admin, table: Table) -> int:
    """Append a table's own rows in ``source`` to the table of that name in ``target``; return how many there were.

    Nothing is held in memory. Generated columns are left to the server; identity columns keep their values. The rows
    must not meet rows of the same key.

    Args:
        source: Inside the database to read.
        target: Inside the database to fill.
        table: Of the source.

    Raises:
        FreshpgError: The server refused; inside a transaction of the target's nothing was copied.
    """
    columns = ", ".join(ident(column.name) for column in table.columns if not column.generated)
    reading = f"COPY {table.sql} ({columns}) TO STDOUT (FORMAT binary)"
    writing = f"COPY {table.sql} ({columns}) FROM STDIN (FORMAT binary)"
    try:
        with source.connection.cursor() as reader, target.connection.cursor() as writer:
            with reader.copy(reading.encode()) as rows, writer.copy(writing.encode()) as sink:
                for chunk in rows:
                    sink.write(chunk)
            return writer.rowcount
    except psycopg.Error as error:
        raise translate(error, writing, target.conninfo) from error
