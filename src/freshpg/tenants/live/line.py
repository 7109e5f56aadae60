"""One question, one answer: each a line of JSON, after both ends have made sure that the other is our own user."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from freshpg.core.clock import SYSTEM_CLOCK, Clock, Deadline
from freshpg.tenants.live.place import peer

if TYPE_CHECKING:
    import socket

LONGEST_QUESTION = 4096
LONGEST_ANSWER = 64 << 20
"""Bytes; ten thousand pools take about three million."""


class Unanswered(Exception):
    """The other end is not our user, said nothing in time, or nothing that can be read; the text says which."""


def trust(connection: socket.socket) -> None:
    """Require our own user at the other end.

    Raises:
        Unanswered: It is another one.
    """
    user = peer(connection)
    if user != os.geteuid():
        raise Unanswered(f"it belongs to user {user}")


def send(connection: socket.socket, message: dict[str, Any], seconds: float) -> None:
    """Send one message within ``seconds``.

    Raises:
        OSError: The other end has gone, or does not read.
    """
    connection.settimeout(seconds)
    connection.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n")


def receive(
    connection: socket.socket, seconds: float, *, longest: int, clock: Clock = SYSTEM_CLOCK
) -> dict[str, Any]:
    """Return one message of at most ``longest`` bytes that came within ``seconds``, in however many pieces.

    Raises:
        Unanswered: None came.
    """
    limit, data = Deadline(seconds, clock), bytearray()
    while not data.endswith(b"\n"):
        connection.settimeout(max(limit.remaining, 0.001))
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            raise Unanswered(f"it said nothing for {seconds:g} s") from None
        except OSError as error:
            raise Unanswered(error.strerror or str(error)) from None
        data += piece
        if not piece or len(data) > longest:
            raise Unanswered("it ended in the middle" if not piece else "it says too much")
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Unanswered("what it says cannot be understood")
    return message
