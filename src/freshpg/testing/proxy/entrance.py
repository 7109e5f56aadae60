"""Where clients of the proxy come in: a Unix socket beside the server's own, or a port of 127.0.0.1."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from freshpg.core.errors import UsageInvalid

if TYPE_CHECKING:
    from freshpg.core.conninfo import Conninfo

Listen = Literal["unix", "tcp"]

ADDRESS = "127.0.0.1"
FIRST_NUMBER = 50001
"""Of a Unix socket; its "port" is a part of its name and nothing more."""
BACKLOG = 128


class Entrance(Protocol):
    """A way in. ``password`` is asked of clients unless None."""

    conninfo: Conninfo
    password: str | None

    def open(self) -> socket.socket:
        """Return a listening socket at the one address; while there is none, clients are refused."""

    def close(self) -> None:
        """Give the address back."""


def entrance(target: Conninfo, listen: Listen | None) -> Entrance:
    """Return the way in; without a wish, a server's that is reached by a Unix socket of ours is one as well.

    Raises:
        UsageInvalid: ``listen`` is neither ``unix`` nor ``tcp``.
    """
    if listen not in {None, "unix", "tcp"}:
        raise UsageInvalid(
            "a faulty server was to listen",
            on=f"listen={listen!r}",
            seen="no such way in",
            todo=('give "unix" or "tcp"',),
        )
    if listen is None:
        listen = "unix" if target.is_socket and _is_ours(target.host) else "tcp"
    return UnixEntrance(target) if listen == "unix" else TcpEntrance(target)


def _is_ours(directory: str) -> bool:
    from freshpg.servers.storage import runtime_roots

    return any(Path(directory).is_relative_to(root) for root in runtime_roots())


class TcpEntrance:
    """A port of 127.0.0.1, held by a socket that does not listen while clients are refused."""

    def __init__(self, target: Conninfo) -> None:
        self._holder = _port_socket(0)
        self._port = self._holder.getsockname()[1]
        self.password = (target.password or secrets.token_urlsafe(18)) if target.is_socket else None
        # Else libpq would follow it to the server itself.
        params = tuple(pair for pair in target.params if pair[0] != "hostaddr")
        password = self.password or target.password
        self.conninfo = target.with_(
            host=ADDRESS, port=self._port, password=password, params=params
        )

    def open(self) -> socket.socket:
        """Listen at the port."""
        listener = _port_socket(self._port)
        listener.listen(BACKLOG)
        return listener

    def close(self) -> None:
        """Give the port back."""
        self._holder.close()


def _port_socket(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Two sockets of one user at one port: the holder, and the one that listens.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((ADDRESS, port))
    except BaseException:
        sock.close()
        raise
    return sock


class UnixEntrance:
    """A socket in a directory that is removed with its server, or by the keeper when this process dies."""

    password: str | None = None

    def __init__(self, target: Conninfo) -> None:
        self._undo = ExitStack()
        ours = target.is_socket and _is_ours(target.host) and os.access(target.host, os.W_OK)
        directory = Path(target.host) if ours else self._own_directory()
        try:
            number = _free_number(directory)
        except BaseException:
            self._undo.close()
            raise
        self._path = directory / f".s.PGSQL.{number}"
        params = tuple(pair for pair in target.params if pair[0] != "hostaddr")
        self.conninfo = target.with_(host=str(directory), port=number, params=params)

    def open(self) -> socket.socket:
        """Listen at the socket's name, made anew."""
        self._path.unlink(missing_ok=True)
        listener = _bound(self._path)
        listener.listen(BACKLOG)
        return listener

    def close(self) -> None:
        """Remove the socket, and its directory if that was made for it."""
        self._path.unlink(missing_ok=True)
        self._undo.close()

    def _own_directory(self) -> Path:
        """Make a directory that the keeper removes if we cannot."""
        from freshpg.servers import storage
        from freshpg.servers.keeper.client import Keeper

        root = storage.keeper_root()
        place = storage.server_place(root, root)
        keeper = Keeper.connect(root, label="faulty server")
        self._undo.callback(keeper.close)
        keeper.claim(place.paths)
        self._undo.callback(keeper.discard, place.paths)
        place.make(os.geteuid(), os.getegid())
        return place.sockets


def _free_number(directory: Path) -> int:
    for number in itertools.count(FIRST_NUMBER):
        try:
            # Left bound and not listening: that takes the name, and refuses clients.
            _bound(directory / f".s.PGSQL.{number}").close()
        except FileExistsError:
            continue
        except OSError as error:
            import errno

            if error.errno == errno.EADDRINUSE:
                continue
            raise
        return number
    raise AssertionError


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    return listener
