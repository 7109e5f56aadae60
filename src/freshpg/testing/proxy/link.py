"""One connection through the proxy: a client's socket, one to the server, and a lane each way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from random import Random
from typing import TYPE_CHECKING, Any

from freshpg.testing.proxy.faults import Faults
from freshpg.testing.proxy.lane import CHUNK, Lane
from freshpg.testing.proxy.password import admit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.conninfo import Conninfo
    from freshpg.testing.proxy.faults import Break, Direction
    from freshpg.testing.proxy.lane import Control

CONNECT_SECONDS = 10.0
FAREWELL_SECONDS = 1.0
"""How long the server's process is waited for when a connection ends; an idle one leaves at once."""
_NO_LINGER = struct.pack("ii", 1, 0)


class Link:
    """Lives in the loop's thread."""

    def __init__(
        self,
        client: socket.socket,
        target: Conninfo,
        controls: Mapping[Direction, Control],
        *,
        seed: str,
        password: str | None,
    ) -> None:
        self._client = client
        self._server: socket.socket | None = None
        self._target = target
        self._controls = controls
        self._seed = seed
        self._password = password
        self._work: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether its client is still connected to us."""
        return not self._over.is_set()

    async def run(self) -> None:
        """Pass data both ways until one side leaves or the connection is broken."""
        begin = asyncio.create_task(self._begin())
        self._work.append(begin)
        begin.add_done_callback(self._failed)
        await self._over.wait()
        await asyncio.gather(*self._work, return_exceptions=True)
        if self._server is not None:
            await _farewell(self._server)

    def end(self, how: Break) -> bool:
        """Break the connection as its client sees it; the server sees an ordinary end. Whether it was open."""
        if self._over.is_set():
            return False
        self._over.set()
        for task in self._work:
            task.cancel()
        if how == "reset" and self._client.family != socket.AF_UNIX:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        _shut(self._client)
        return True

    async def _begin(self) -> None:
        for control in self._controls.values():
            await control.wait(Faults.hold)
        start = await admit(self._client, self._password) if self._password else b""
        if start is None:
            self.end("cut")
            return
        async with asyncio.timeout(CONNECT_SECONDS):
            self._server = await _connected(self._target)
        inward = self._lane("to_server", self._client, self._server)
        outward = self._lane("to_client", self._server, self._client)
        if start:
            await inward.put(start)
        for work in (inward.read(), outward.read(), self._inward(inward), self._outward(outward)):
            task = asyncio.create_task(work)
            self._work.append(task)
            task.add_done_callback(self._failed)

    def _lane(self, name: Direction, source: socket.socket, sink: socket.socket) -> Lane:
        chance = Random(f"{self._seed} {name}")  # noqa: S311 (chance for tests, the same in every run)
        return Lane(source, sink, self._controls[name], chance, self.end)

    async def _inward(self, lane: Lane) -> None:
        # A server that has gone is no news to the client before the other lane passes its end on.
        with contextlib.suppress(OSError):
            await lane.deliver()
            if self._server is not None:
                self._server.shutdown(socket.SHUT_WR)

    async def _outward(self, lane: Lane) -> None:
        await lane.deliver()
        self.end("cut")

    def _failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.end("cut")


async def _connected(target: Conninfo) -> socket.socket:
    loop = asyncio.get_running_loop()
    if target.is_socket:
        name = f"{target.host}/.s.PGSQL.{target.port}"
        # "@" stands for the NUL of Linux's abstract names.
        return await _connect(socket.AF_UNIX, f"\0{name[1:]}" if name.startswith("@") else name)
    host = dict(target.params).get("hostaddr") or target.host or "localhost"
    found = await loop.getaddrinfo(host, target.port, type=socket.SOCK_STREAM)
    problem: OSError | None = None
    for family, _, _, _, address in found:
        try:
            return await _connect(family, address)
        except OSError as error:
            problem = error
    raise problem or ConnectionRefusedError(host)


async def _connect(family: int, address: tuple[Any, ...] | str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        send_at_once(sock)
    except BaseException:
        _shut(sock)
        raise
    return sock


async def _farewell(server: socket.socket) -> None:
    """Wait until the server's process has left, so that nobody finds it connected when the proxy is gone."""
    with contextlib.suppress(OSError, TimeoutError):
        server.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(FAREWELL_SECONDS):
            while await asyncio.get_running_loop().sock_recv(server, CHUNK):
                pass
    _shut(server)


def send_at_once(sock: socket.socket) -> None:
    """Have small pieces leave at once; what is late is late by our will alone."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _shut(sock: socket.socket) -> None:
    # Before the descriptor's number can be given to another socket.
    loop = asyncio.get_running_loop()
    loop.remove_reader(sock)
    loop.remove_writer(sock)
    sock.close()
