"""What servers know of our own sessions: the statement and what it waits for, asked on one short connection each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.core.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshpg.tenants.parts import Member

SECONDS = 3
"""That connecting, and asking, may take."""
LONGEST = 500
"""Characters of a statement that are shown."""

_ASK = """
SELECT pid, query, concat_ws(': ', wait_event_type, wait_event)
  FROM pg_catalog.pg_stat_activity WHERE pid = ANY (%s)
"""

Statement = tuple[str, str]
"""The text, and what it waits for."""


def statements_of(
    members: Iterable[Member[Any]],
) -> tuple[dict[tuple[str, int], Statement], list[str]]:
    """Return what sessions run, by server and pid, and why some servers could not be asked."""
    by_server: dict[str, dict[int, Member[Any]]] = {}
    for member in members:
        pgconn = member.connection.pgconn
        if pgconn.status == psycopg.pq.ConnStatus.OK:
            by_server.setdefault(member.pool.server.key, {})[pgconn.backend_pid] = member
    found: dict[tuple[str, int], Statement] = {}
    problems = []
    for server, sessions in by_server.items():
        try:
            rows = _ask(next(iter(sessions.values())).connection, list(sessions))
        except psycopg.Error as error:
            problems.append(f"{server} was not asked what runs: {_words(error, sessions)}")
            continue
        found |= {(server, pid): (query[:LONGEST], waits) for pid, query, waits in rows}
    return found, problems


def _ask(like: Any, pids: list[int]) -> list[tuple[int, str, str]]:
    """Ask over a connection like one that is open: the same server, role and password."""
    keywords: dict[str, Any] = {
        **like.info.get_parameters(),
        "password": like.info.password or None,
        "application_name": "freshpg tenants view",
        "connect_timeout": SECONDS,
    }
    with psycopg.connect(**keywords, autocommit=True) as connection:
        connection.execute(f"SET statement_timeout = {SECONDS * 1000}")
        return connection.execute(_ASK, (pids,)).fetchall()


def _words(error: psycopg.Error, sessions: dict[int, Member[Any]]) -> str:
    passwords = {member.connection.info.password for member in sessions.values()}
    text = " ".join(str(error).split())
    for password in passwords:
        text = redact(text, password)
    return text
