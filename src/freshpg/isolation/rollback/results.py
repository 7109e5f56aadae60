"""Results of libpq, read without psycopg's cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.pq.abc import PGresult

FATAL = pq.ExecStatus.FATAL_ERROR


def raise_first(results: Iterable[PGresult]) -> None:
    """Raise the first error among results as psycopg does."""
    for result in results:
        if result.status == FATAL:
            raise psycopg.errors.error_from_result(result, encoding="utf-8")


def rows_of(result: PGresult) -> list[Sequence[bytes]]:
    """Return the values of a result as the server wrote them; NULL is empty."""
    return [
        [result.get_value(row, column) or b"" for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]


def number_in(result: PGresult) -> int:
    """Return the one number of a result; 0 for NULL."""
    return int(result.get_value(0, 0) or b"0")
