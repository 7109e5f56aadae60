"""A password at the door: whoever comes in over TCP would reach a server that trusts whoever finds its Unix socket.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
"""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

CANCEL_REQUEST, SSL_REQUEST, GSS_REQUEST = 80877102, 80877103, 80877104
LONGEST = 10_000
"""Bytes of a start-up packet, MAX_STARTUP_PACKET_LENGTH of PostgreSQL."""
LOGIN_SECONDS = 60.0
"""``authentication_timeout`` of PostgreSQL."""

_ASK_FOR_PASSWORD = b"R" + (8).to_bytes(4) + (3).to_bytes(4)
_FIELDS = b"SFATAL\0VFATAL\0C28P01\0Mwrong password for the faulty server\0\0"
_REFUSAL = b"E" + (len(_FIELDS) + 4).to_bytes(4) + _FIELDS


async def admit(client: socket.socket, password: str) -> bytes | None:
    """Return the start-up packet of a client that knows the password, or a request to cancel; else None.

    Raises:
        TimeoutError: It did not say who it is.
        ConnectionError: It left, or speaks something else.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LOGIN_SECONDS):
        start = await _packet(client)
        while (code := int.from_bytes(start[4:8])) in {SSL_REQUEST, GSS_REQUEST}:
            await loop.sock_sendall(client, b"N")
            start = await _packet(client)
        if code == CANCEL_REQUEST:
            return start
        await loop.sock_sendall(client, _ASK_FOR_PASSWORD)
        kind = await _exactly(client, 1)
        given = (await _packet(client))[4:].rstrip(b"\0")
        if kind == b"p" and hmac.compare_digest(given, password.encode()):
            return start
        await loop.sock_sendall(client, _REFUSAL)
        return None


async def _packet(client: socket.socket) -> bytes:
    """Read a packet that begins with its own length."""
    head = await _exactly(client, 4)
    length = int.from_bytes(head)
    if not 4 <= length <= LONGEST:
        raise ConnectionAbortedError("not the protocol of PostgreSQL")
    return head + await _exactly(client, length - 4)


async def _exactly(client: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        more = await loop.sock_recv(client, size - len(data))
        if not more:
            raise ConnectionAbortedError("ended before it began")
        data += more
    return data
