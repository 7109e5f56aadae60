"""Talking to the keeper.

The connection is the lease: while it is open, what this process started or claimed is its own; when it ends without a
release, the keeper takes the process for killed. So no child may hold a copy of it: exec closes it by its flag, fork by
a hook.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from freshpg.core.clock import SYSTEM_CLOCK, Clock, Deadline
from freshpg.core.errors import KeeperFailed, KeeperGone
from freshpg.servers.keeper.answers import gone, late, refused
from freshpg.servers.keeper.loop import peer
from freshpg.servers.keeper.reports import Died, ServerRecord
from freshpg.servers.keeper.spawner import Spawner
from freshpg.servers.keeper.verbs import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

POLL_SECONDS = 0.001
ANSWER_SECONDS = 30.0

_clients: weakref.WeakSet[Keeper] = weakref.WeakSet()


class PendingKeeper:
    """A keeper that is perhaps still starting; other work can go on meanwhile."""

    def __init__(
        self, root: Path, *, roots: Iterable[Path] = (), label: str = "", may_spawn: bool = True
    ) -> None:
        self.root = root
        self.may_spawn = may_spawn
        self.roots = tuple(roots)
        self.label = label
        self.clock: Clock = SYSTEM_CLOCK
        self._spawner = Spawner(root, self.clock)
        try:
            self._connected = self._try()
        except BaseException:
            self._spawner.tidy()
            raise

    @property
    def starting(self) -> bool:
        """Whether none answered yet; one that starts has no server that anybody could take."""
        return self._connected is None

    def wait_ready(self, deadline: float = 10.0) -> Keeper:
        """Return the connected keeper.

        Raises:
            KeeperFailed: It does not answer within ``deadline`` seconds.
        """
        limit = Deadline(deadline, self.clock)
        try:
            while True:
                keeper = self.greet()
                if keeper is not None:
                    return keeper
                if limit.expired:
                    raise self._spawner.silent(limit.seconds)
                self.clock.sleep(POLL_SECONDS)
                self._connected = self._try()
        finally:
            self._spawner.tidy()

    def give_up(self) -> None:
        """Let go of a connection nobody waited for."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None
        self._spawner.tidy()

    def _try(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"{self.root}/keeper.sock")
            if peer(connection)[0] == os.geteuid():
                return connection
        except OSError:
            pass
        connection.close()
        if self.may_spawn:
            self._spawner.spawn()
        return None

    def greet(self) -> Keeper | None:
        """Say hello; a keeper that just decided to leave cuts us off instead of answering."""
        if self._connected is None:
            return None
        keeper = Keeper(self._connected, self)
        try:
            keeper.hello()
        except KeeperGone:
            keeper.close()
            return None
        return keeper


class Keeper:
    """A connection to the keeper; every method may be called from any thread.

    What the keeper reports by itself is taken in by whatever is called next, :attr:`alive` included: there is no
    thread behind this, which a test that forks would be warned of. :attr:`on_died` is called then, and must not call
    the keeper itself.

    Args of all methods: ids are those given to :meth:`start`; paths are absolute and at least two levels below one of
    the roots; times are seconds.

    Raises:
        KeeperRefused: The request was understood and declined.
        KeeperGone: The keeper died or this process was forked; see :meth:`reconnect`.
        KeeperFailed: No answer in time.
    """

    def __init__(self, connection: socket.socket, pending: PendingKeeper) -> None:
        self._socket = connection
        self._pending = pending
        self._lock = threading.Lock()
        self._incoming = b""
        self._last = 0
        self._open = True
        self._replies: dict[int, dict[str, Any]] = {}
        self.pid = 0
        self.on_died: Callable[[Died], None] | None = None
        self.died: dict[str, Died] = {}
        _clients.add(self)

    @classmethod
    def connect(
        cls, root: Path, *, deadline: float = 10.0, roots: Iterable[Path] = (), label: str = ""
    ) -> Keeper:
        """Return the keeper at ``root``, started if need be.

        Args:
            root: Runtime root, see :mod:`freshpg.servers.storage`.
            deadline: Seconds until giving up.
            roots: Further directories of ours in which paths may be claimed.
            label: Who we are, for ``freshpg status``.
        """
        return cls.spawn_async(root, roots=roots, label=label).wait_ready(deadline)

    @classmethod
    def spawn_async(
        cls, root: Path, *, roots: Iterable[Path] = (), label: str = ""
    ) -> PendingKeeper:
        """Begin to connect or to start; :meth:`PendingKeeper.wait_ready` finishes it."""
        return PendingKeeper(root, roots=roots, label=label)

    @classmethod
    def find(cls, root: Path, *, roots: Iterable[Path] = (), label: str = "") -> Keeper | None:
        """Return the keeper at ``root`` if one runs; never starts one."""
        return PendingKeeper(root, roots=roots, label=label, may_spawn=False).greet()

    @property
    def root(self) -> Path:
        """The runtime root this keeper serves."""
        return self._pending.root

    @property
    def alive(self) -> bool:
        """Whether the keeper is still there; also takes in what it reported meanwhile."""
        with self._lock:
            if self._open:
                self._receive(0.0)
            return self._open

    def wait_for_death(self, server: str, seconds: float) -> Died | None:
        """Return what the keeper reports of the end of a server of ours, waited for; None when it says nothing."""
        limit = Deadline(seconds, self._pending.clock)
        with self._lock:
            while server not in self.died and self._open and not limit.expired:
                self._receive(limit.remaining)
            return self.died.get(server)

    def hello(self) -> None:
        """Introduce ourselves; the first request."""
        pending = self._pending
        reply = self._ask("hello", label=pending.label, roots=[str(root) for root in pending.roots])
        self.pid = reply["pid"]
        if reply["protocol"] != PROTOCOL:
            raise KeeperFailed(
                "the keeper speaks another protocol",
                on=self._name,
                seen=f"protocol {reply['protocol']}, this freshpg speaks {PROTOCOL}",
                todo=(f"end the keeper of the other version: kill {self.pid}",),
            )

    def claim(self, paths: Iterable[Path]) -> None:
        """Have ``paths`` removed if this process dies; said before they are made."""
        self._ask("claim", paths=[str(path) for path in paths])

    def unclaim(self, paths: Iterable[Path]) -> None:
        """Take claims back: the paths are complete, or gone."""
        self._ask("unclaim", paths=[str(path) for path in paths])

    def discard(self, paths: Iterable[Path]) -> list[str]:
        """Remove claimed paths; on return they are gone but for what is returned."""
        return list(self._ask("discard", paths=[str(path) for path in paths])["left"])

    def start(
        self,
        server: str,
        *,
        directory: Path,
        data: Path,
        argv: Sequence[str],
        env: Mapping[str, str],
        uid: int,
        gid: int,
        key: str = "",
        paths: Iterable[Path] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> int:
        """Run a postmaster and return its pid.

        Args:
            server: Its id, unguessable.
            directory: Where its record and its log go; removed with it.
            data: Data directory, which it works in and by which its processes are recognised.
            argv: Absolute program and arguments.
            env: Its whole environment.
            uid: User that runs it.
            gid: Group that runs it.
            key: What makes a warm server fit a later :meth:`take`.
            paths: Further paths to remove with it.
            meta: Whatever a later taker has to know.
        """
        reply = self._ask(
            "start",
            server=server,
            dir=str(directory),
            data=str(data),
            argv=list(argv),
            env=dict(env),
            uid=uid,
            gid=gid,
            key=key,
            paths=[str(path) for path in paths],
            meta=dict(meta or {}),
        )
        return int(reply["pid"])

    def take(self, key: str, *, server: str | None = None) -> ServerRecord | None:
        """Own a free warm server with ``key``, or get None."""
        which = {"server": server} if server else {}
        record = self._ask("take", key=key, **which)["server"]
        return ServerRecord.from_json(record) if record else None

    def release(
        self, server: str, *, linger: float, left: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Give a server back, warm for ``linger`` seconds; with 0 it and its paths are gone on return.

        ``left`` is told to who takes it next, and to nobody after that.

        Returns:
            What could not be removed.
        """
        self.died.pop(server, None)
        return list(
            self._ask("release", server=server, linger=linger, left=dict(left or {}))["left"]
        )

    def pin(self, server: str, *, seconds: float) -> None:
        """Keep a server up for ``seconds`` whatever becomes of us; 0 takes it back."""
        self._ask("pin", server=server, seconds=seconds)

    def stop(self, server: str, *, force: bool = False) -> list[str]:
        """End one server; ``force`` also when somebody else uses it. Returns what could not be removed."""
        return list(self._ask("stop", server=server, force=force)["left"])

    def stop_all(self, *, force: bool = False) -> int:
        """End all free servers, with ``force`` all; return how many."""
        return int(self._ask("stop", all=True, force=force)["stopped"])

    def status(self) -> dict[str, Any]:
        """Return pid, roots, clients (pid, label, claims) and servers of the keeper, as data."""
        return self._ask("status")

    def servers(self) -> list[ServerRecord]:
        """Return all servers of the keeper."""
        return [ServerRecord.from_json(record) for record in self.status()["servers"]]

    def reconnect(self, deadline: float = 10.0) -> list[str]:
        """After the keeper died: connect to its successor and return the ids of our servers that live on."""
        successor = Keeper.connect(
            self.root, deadline=deadline, roots=self._pending.roots, label=self._pending.label
        )
        _clients.discard(successor)
        with self._lock:
            self._socket.close()
            self.__dict__.update(
                successor.__dict__, _lock=self._lock, on_died=self.on_died, died=self.died
            )
        return self.resume()

    def resume(self) -> list[str]:
        """Take back what we own and claimed in writing, under a keeper before this one; return the ids of servers."""
        return [record["id"] for record in self._ask("resume")["servers"]]

    def close(self) -> None:
        """Leave. What is still owned or claimed is removed, as after a kill."""
        self._open = False
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget_in_child(self) -> None:
        """Close a forked child's copy, which would keep the lease alive; the parent's stays as it is."""
        self._open = False
        self._lock = threading.Lock()
        self._socket.close()

    @property
    def _name(self) -> str:
        return f"{self.root}, process {self.pid}"

    def _ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        limit = Deadline(ANSWER_SECONDS, self._pending.clock)
        with self._lock:
            self._last += 1
            number = self._last
            self._send(json.dumps({"id": number, "verb": verb, **fields}).encode() + b"\n")
            while number not in self._replies and self._open and not limit.expired:
                self._receive(limit.remaining)
            reply = self._replies.pop(number, None)
            self._replies.clear()
        if reply is None:
            raise late(verb, self._name, ANSWER_SECONDS) if self._open else gone(verb, self._name)
        if "ok" not in reply:
            raise refused(verb, self._name, reply)
        answer: dict[str, Any] = reply["ok"]
        return answer

    def _send(self, line: bytes) -> None:
        if not self._open:
            return
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.sendall(line)
        except OSError:
            self._open = False

    def _receive(self, seconds: float) -> None:
        try:
            self._socket.settimeout(seconds)
            received = self._socket.recv(65536)
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            received = b""
        self._open = bool(received)
        *lines, self._incoming = (self._incoming + received).split(b"\n")
        for line in lines:
            self._take_in(json.loads(line))

    def _take_in(self, message: dict[str, Any]) -> None:
        if message.get("event") == "died":
            died = Died(message["server"], message["status"], message["log"])
            self.died[died.server] = died
            if self.on_died:
                self.on_died(died)
        elif "id" in message:
            self._replies[message["id"]] = message


def _after_fork_in_child() -> None:
    for keeper in tuple(_clients):
        keeper.forget_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
