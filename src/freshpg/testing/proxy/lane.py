"""One direction of one connection: what comes in at one socket goes out at the other, with the faults of the moment."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freshpg.testing.proxy.faults import Faults, Fuse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from random import Random

    from freshpg.testing.proxy.faults import Break

CHUNK = 65536
IN_FLIGHT = 64
"""Chunks read and not yet passed on; more than latency times the speed of tests."""


class Control:
    """The faults of one direction as they are now; changed in the loop's thread alone."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.fuse: Fuse | None = None
        self._changed = asyncio.Event()

    def change(self, faults: Faults) -> None:
        """Have other faults from now on, for data that is under way too."""
        self.faults = faults
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, moment: Callable[..., float], *facts: float) -> None:
        """Wait until the moment that ``moment(faults, *facts)`` names, as the faults change."""
        loop = asyncio.get_running_loop()
        while (seconds := moment(self.faults, *facts) - loop.time()) > 0:
            try:
                async with asyncio.timeout(None if seconds == math.inf else seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    arrived: float
    chance: float


class Lane:
    """Passes data from ``source`` to ``sink``. Reading goes on while data waits, so latency costs no bandwidth."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        control: Control,
        chance: Random,
        broken: Callable[[Break], object],
    ) -> None:
        self._source = source
        self._sink = sink
        self._control = control
        self._chance = chance
        self._broken = broken
        self._fuse: Fuse | None = None
        self._passed = 0
        self._pieces: asyncio.Queue[_Piece] = asyncio.Queue(IN_FLIGHT)

    async def put(self, data: bytes) -> None:
        """Take data, as if it had just been read; empty for the end."""
        now = asyncio.get_running_loop().time()
        await self._pieces.put(_Piece(data, now, self._chance.random()))

    async def read(self) -> None:
        """Read until the end of the connection."""
        loop, data = asyncio.get_running_loop(), b"."
        while data:
            await self._control.wait(Faults.hold)
            try:
                data = await loop.sock_recv(self._source, CHUNK)
            except ConnectionError:
                # Left with something unread: an end as well, to be passed on in its turn.
                data = b""
            await self.put(data)

    async def deliver(self) -> None:
        """Pass on what was read; return when the end of the connection is to be passed on."""
        while True:
            piece = await self._pieces.get()
            await self._control.wait(Faults.delivery, piece.arrived, piece.chance)
            if not piece.data:
                now = asyncio.get_running_loop().time()
                await self._control.wait(Faults.passing_of_end, now)
                return
            await self._pass_on(piece.data)

    async def _pass_on(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            portion, data = self._portion(data)
            fuse = self._burning(len(portion))
            if fuse is not None:
                await loop.sock_sendall(self._sink, portion[: fuse.after - self._passed])
                fuse.burn()
                self._broken(fuse.how)
                # Whoever breaks the connection cancels this task: nothing more may be passed on.
                await asyncio.sleep(math.inf)
            await loop.sock_sendall(self._sink, portion)
            self._passed += len(portion)
            await self._control.wait(Faults.next_portion, loop.time(), len(portion))

    def _portion(self, data: bytes) -> tuple[bytes, bytes]:
        size = self._control.faults.portion()
        return (data, b"") if size is None else (data[:size], data[size:])

    def _burning(self, size: int) -> Fuse | None:
        """Return the fuse that ``size`` bytes more would burn; each counts from when it was set."""
        fuse = self._control.fuse
        if fuse is not self._fuse:
            self._fuse, self._passed = fuse, 0
        if fuse is None or fuse.spent:
            return None
        return fuse if self._passed + size >= fuse.after else None
