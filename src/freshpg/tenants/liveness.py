"""What this side of a connection can know without asking the server."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import ConnStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn


def is_alive(connection: Any) -> bool:
    """Whether a connection at rest still stands; one that was cut without a word looks alive."""
    pgconn: PGconn = connection.pgconn
    if pgconn.status != ConnStatus.OK:
        return False
    # Not select(): it refuses descriptors from 1,024 on.
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    try:
        # The server's last words may stand before the end of the stream; an ended stream stays readable.
        while pgconn.status == ConnStatus.OK and poll.poll(0):
            pgconn.consume_input()
    except psycopg.Error:
        return False
    return pgconn.status == ConnStatus.OK


def sever(connection: Any) -> None:
    """Cut a connection off from whoever uses it, in another thread maybe, and cancel what runs on it.

    One of asyncio's is cut off from a thread that runs no loop.
    """
    pgconn: PGconn = connection.pgconn
    # It may end, or be ended, at any moment.
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(pgconn.socket)) as end:
        with suppress(psycopg.Error):
            cancelling = connection.cancel_safe(timeout=2.0)
            if iscoroutine(cancelling):
                import asyncio

                asyncio.run(cancelling)
        end.shutdown(socket.SHUT_RDWR)


def abandon(connection: Any) -> None:
    """In a forked child: drop a copy of a connection without a word to the server.

    ``/dev/null`` takes the place of the socket, so that the driver's goodbye goes nowhere.
    """
    pgconn: PGconn = connection.pgconn
    if pgconn.status != ConnStatus.OK:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(null, pgconn.socket, inheritable=False)
    finally:
        os.close(null)
    pgconn.finish()
