"""``FaultyServer``: a PostgreSQL as seen through a bad connection, for tests of retries, timeouts and pools."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import UsageInvalid
from freshpg.testing.proxy.entrance import entrance
from freshpg.testing.proxy.faults import DIRECTIONS, Faults, Fuse, chosen
from freshpg.testing.proxy.lane import Control
from freshpg.testing.proxy.link import Link, send_at_once

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from freshpg.handle import Database
    from freshpg.testing.proxy.entrance import Listen
    from freshpg.testing.proxy.faults import Break, Direction, Directions

CALL_SECONDS = 10.0
"""How long the proxy's own thread may take to act; it never waits for anything in between."""
ACCEPT_PAUSE = 0.05
_UNCHANGED: Any = object()
_T = TypeVar("_T")


class FaultyServer:
    """A proxy in front of a PostgreSQL; what is wrong with it is changed while it runs.

    It runs in a thread of this process and is a context manager, synchronous and asynchronous. Connect with :attr:`url`
    or :attr:`conninfo` and any driver. Every method may be called from any thread and has taken effect on return.

    Args:
        target: The server behind it: a :class:`freshpg.Database`, a :class:`Conninfo` or a URL.
        listen: ``"unix"`` or ``"tcp"`` (on 127.0.0.1 alone); default: a Unix socket for a server of freshpg, else TCP.
            In front of a Unix socket, TCP asks for a password, which the URL holds.
        seed: Of the jitter: the same for every run.

    Raises:
        UsageInvalid: A fault, a direction or ``listen`` is none that there is; nothing was changed.
    """

    def __init__(
        self, target: Database | Conninfo | str, *, listen: Listen | None = None, seed: int = 0
    ) -> None:
        self._target = _address(target)
        self._seed = seed
        self._owner_pid = os.getpid()
        self._entrance = entrance(self._target, listen)
        self._controls: Mapping[Direction, Control] = {}
        self._links: dict[asyncio.Task[None], Link] = {}
        self._counted = 0
        self._accepting: tuple[asyncio.Task[None], socket.socket] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="freshpg-faulty-server", daemon=True
        )
        self._thread.start()
        try:
            ready.result(CALL_SECONDS)
        except BaseException:
            self._entrance.close()
            raise

    @property
    def conninfo(self) -> Conninfo:
        """Address of the database through the proxy."""
        return self._entrance.conninfo

    @property
    def url(self) -> str:
        """``postgresql://`` URL through the proxy."""
        return self.conninfo.url()

    def url_for(self, dialect: str) -> str:
        """Return the URL for a driver, as :meth:`freshpg.Database.url_for` does."""
        return self.conninfo.url(dialect)

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy now."""
        return self._call(lambda: sum(link.is_open for link in self._links.values()))

    @property
    def faults(self) -> dict[Direction, Faults]:
        """What is wrong with each direction now."""
        return self._call(
            lambda: {name: control.faults for name, control in self._controls.items()}
        )

    def degrade(
        self,
        direction: Directions = "both",
        *,
        latency: float = _UNCHANGED,
        jitter: float = _UNCHANGED,
        bandwidth: float | None = _UNCHANGED,
    ) -> None:
        """Make connections slow, those that are open too; what is not named stays.

        Args:
            direction: ``"to_server"``, ``"to_client"`` or ``"both"``.
            latency: Seconds by which all data comes late.
            jitter: Up to so many seconds more, drawn anew for each piece of data; the order is kept.
            bandwidth: Bytes a second; None for no limit.
        """
        given = {"latency": latency, "jitter": jitter, "bandwidth": bandwidth}
        changes = {name: value for name, value in given.items() if value is not _UNCHANGED}
        self._change(direction, **changes)

    def half_open(self, direction: Directions = "both") -> None:
        """Pass on nothing any more, not even the end of a connection, and keep all sockets open.

        New connections are accepted and hear nothing. After :meth:`heal` everything arrives.
        """
        self._change(direction, half_open=True)

    def slow_close(self, seconds: float, direction: Directions = "both") -> None:
        """Pass on the end of a connection so many seconds late."""
        self._change(direction, slow_close=seconds)

    def cut(self) -> int:
        """Close every connection that is open; return how many. New ones are served."""
        return self._call(lambda: self._end("cut"))

    def reset(self) -> int:
        """Break every connection that is open with a TCP reset; return how many.

        Unix sockets know no reset: there the client sees ECONNRESET if something it sent was not read yet, else an end.
        """
        return self._call(lambda: self._end("reset"))

    def cut_after(
        self,
        after: int,
        direction: Directions = "to_client",
        *,
        how: Break = "cut",
        times: int | None = 1,
    ) -> None:
        """Break a connection when so many bytes more have passed, in the middle of a message as a rule.

        Every message of PostgreSQL has a head of 5 bytes, so that with 1 to 4 it breaks within the next one.

        Args:
            after: Bytes, counted for each connection from now, or from its beginning.
            direction: Which bytes are counted.
            how: ``"cut"`` or ``"reset"``.
            times: How many connections break in each direction; None for all until :meth:`heal`.
        """
        fuses = {name: Fuse(after, how, times) for name in chosen(direction)}

        def arm() -> None:
            for name, fuse in fuses.items():
                self._controls[name].fuse = fuse

        self._call(arm)

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down does; open ones stay."""
        self._call(self._close_door)

    def heal(self) -> None:
        """Undo every fault; what was held back is passed on."""

        def act() -> None:
            for control in self._controls.values():
                control.fuse = None
                control.change(Faults())
            if self._accepting is None:
                self._open_door()

        self._call(act)

    def close(self) -> None:
        """End all connections, the thread and the socket. More than once is fine."""
        if os.getpid() != self._owner_pid or self._loop is None or self._stop is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CALL_SECONDS)
        self._loop = None
        self._entrance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        return f"<FaultyServer {self.conninfo.safe()}>"

    def _change(self, direction: Directions, **changes: Any) -> None:
        def act() -> None:
            # All are made before one is set: a value that cannot be changes nothing.
            wanted = {
                self._controls[name]: replace(self._controls[name].faults, **changes)
                for name in chosen(direction)
            }
            for control, faults in wanted.items():
                control.change(faults)

        self._call(act)

    def _call(self, act: Callable[[], _T]) -> _T:
        """Have the proxy's thread do something and return what came of it."""
        loop = self._loop
        if loop is None or os.getpid() != self._owner_pid:
            raise UsageInvalid(
                "a faulty server was used",
                on=self.conninfo.safe(),
                seen="it is closed"
                if loop is None
                else "it runs in the process that forked this one",
                todo=("use it inside its with block",),
            )
        done: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def answer() -> None:
            try:
                done.set_result(act())
            except BaseException as error:  # noqa: BLE001 (raised where it was asked)
                done.set_exception(error)

        loop.call_soon_threadsafe(answer)
        return done.result(CALL_SECONDS)

    def _run(self, ready: concurrent.futures.Future[None]) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._controls = {name: Control() for name in DIRECTIONS}
        try:
            self._open_door()
        except BaseException as error:  # noqa: BLE001 (raised where it was asked)
            ready.set_exception(error)
            return
        ready.set_result(None)
        await self._stop.wait()
        self._close_door()
        self._end("cut")
        await asyncio.gather(*self._links, return_exceptions=True)

    def _open_door(self) -> None:
        listener = self._entrance.open()
        self._accepting = (asyncio.create_task(self._accept(listener)), listener)

    def _close_door(self) -> None:
        if self._accepting is None:
            return
        (task, listener), self._accepting = self._accepting, None
        task.cancel()
        asyncio.get_running_loop().remove_reader(listener)
        listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:
                # Out of descriptors, say: who waits is taken in when there are some.
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            send_at_once(client)
            self._counted += 1
            link = Link(
                client,
                self._target,
                self._controls,
                seed=f"{self._seed} {self._counted}",
                password=self._entrance.password,
            )
            task = asyncio.create_task(link.run())
            self._links[task] = link
            task.add_done_callback(self._links.pop)

    def _end(self, how: Break) -> int:
        return sum(link.end(how) for link in tuple(self._links.values()))


def _address(target: Database | Conninfo | str) -> Conninfo:
    if isinstance(target, str):
        return Conninfo.parse(target)
    return target if isinstance(target, Conninfo) else target.conninfo
