"""The keeper's loop: who is connected, which servers run, what is to end when.

One thread, one ``poll``. Whatever could block, such as removing a tree, happens in a child.
"""

from __future__ import annotations

import _socket
import json
import os
import select
import signal
import time

from . import adoption, identity, ledger
from .burial import Burial
from .faults import faultpoint
from .records import DEAD, ENDING, ORPHANED, OWNED, WARM, Connection, Server
from .root_watch import RootWatch
from .verbs import VERBS, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

QUIT_SECONDS = 0.3
"""How long an immediate shutdown may take before SIGKILL; it takes 2 to 4 ms when nothing is stuck."""
CHECK_SECONDS = 0.2
"""How often processes are looked at where the system cannot wake us (no pidfd)."""
EARLY_SECONDS = 10.0
"""How long after our start who found no keeper may still write a claim itself, and die before it told us of it."""
LONGEST_WAIT = 3600.0
MOST_KILLED = 50
"""How often who removes something may be killed over it before that counts as an attempt."""
COMPLAINTS = 50
"""How many things that could not be removed are remembered for ``status``."""
LINE_LIMIT = 4_000_000


class Keeper:
    """All state of the keeper; the verbs in :mod:`verbs` act on it."""

    def __init__(self, root: str, listener: _socket.socket, lock: int, idle: float) -> None:
        self.root = root
        self.root_watch = RootWatch(root, lock)
        self.roots = {root}
        self.listener = listener
        self.idle = idle
        self.connections: dict[int, Connection] = {}
        self.servers: dict[str, Server] = {}
        self.burials: dict[int, Burial] = {}
        self.orphans: dict[str, dict[str, Any]] = {}
        self.early_until = time.monotonic() + EARLY_SECONDS
        self.early_seen: set[str] = set()
        self.watched: dict[int, Callable[[], None]] = {}
        self.unburied: list[Burial] = []
        self.complaints: list[str] = []
        self.told_to_end = False
        self.ending = False
        self.idle_since = time.monotonic()
        self.poll = select.poll()
        self.place = {
            "keeper": root,
            "boot": identity.boot_id(),
            "namespace": identity.pid_namespace(),
        }

    def run(self) -> None:
        """Serve until there is nothing left to keep."""
        wakeup = self._catch_signals()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(wakeup, select.POLLIN)
        if self.root_watch.descriptor >= 0:
            self.watched[self.root_watch.descriptor] = self.root_watch.drain
            self.poll.register(self.root_watch.descriptor, select.POLLIN)
        adoption.take_over(self, self.root)
        while not self._finished():
            for descriptor, happened in self.poll.poll(self._timeout()):
                if descriptor == self.listener.fileno():
                    self._accept()
                elif descriptor == wakeup:
                    os.read(wakeup, 4096)
                elif descriptor in self.connections:
                    self._serve(self.connections[descriptor], happened)
                elif descriptor in self.watched:
                    self.watched[descriptor]()
            if not self.ending and (self.told_to_end or self.root_watch.is_gone()):
                self._end_everything()
            self._reap()
            self._look()
            self._flush()
        ledger.forget_drafts(self.root)

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        return reader

    def _note_signal(self, *_: object) -> None:
        # A handler runs between any two steps of the loop, so it may only leave a note.
        self.told_to_end = True

    def _finished(self) -> bool:
        clients = self.connections or self.orphans
        if self.servers or self._burying() or (clients and not self.ending):
            self.idle_since = time.monotonic()
            return False
        if self.ending:
            return True
        if time.monotonic() - self.idle_since < self.idle:
            return False
        adoption.find_early_claims(self)
        return not self.orphans

    def _timeout(self) -> float | None:
        now = time.monotonic()
        moments = [
            server.kill_at
            for server in self.servers.values()
            if server.state == ENDING and not server.killed
        ]
        moments += [server.expires() for server in self.servers.values() if server.state == WARM]
        if not (self.servers or self._burying() or self.connections):
            moments.append(self.idle_since + self.idle)
        if self._must_check():
            moments.append(now + CHECK_SECONDS)
        if not moments:
            return None
        # poll() takes its milliseconds as a C int: a server pinned for a month would overflow it.
        return max(0.0, min(min(moments) - now, LONGEST_WAIT)) * 1000 + 1

    def _burying(self) -> bool:
        return bool(self.burials or self.unburied)

    def _must_check(self) -> bool:
        unwatched = any(server.adopted and server.handle < 0 for server in self.servers.values())
        orphaned = any(server.state == ORPHANED for server in self.servers.values())
        early = time.monotonic() < self.early_until
        return bool(self.orphans or self.unburied or unwatched or orphaned or early)

    def _look(self) -> None:
        now = time.monotonic()
        for server in tuple(self.servers.values()):
            if server.state == WARM and now >= server.expires():
                self.end(server)
            elif server.state == ENDING and not server.killed and now >= server.kill_at:
                server.killed = True
                self._signal(server, signal.SIGKILL)
        if self._must_check():
            adoption.find_early_claims(self)
            adoption.check_orphans(self)
            waiting, self.unburied = self.unburied, []
            for burial in waiting:
                self._start_burial(burial)

    def _accept(self) -> None:
        try:
            # The public ``accept`` is in the module ``socket``, which costs 4 ms to import.
            descriptor, _ = self.listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except OSError:
            return
        sock = _socket.socket(fileno=descriptor)
        uid, pid = peer(sock)
        if uid != os.geteuid() or self.ending:
            sock.close()
            return
        sock.setblocking(False)
        self.connections[sock.fileno()] = Connection(sock, pid)
        self.poll.register(sock, select.POLLIN)

    def _serve(self, connection: Connection, happened: int) -> None:
        if happened & select.POLLOUT:
            return
        try:
            received = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        *lines, connection.incoming = (connection.incoming + received).split(b"\n")
        for line in lines:
            self._answer(connection, line)
        if not received or len(connection.incoming) > LINE_LIMIT:
            self._lost(connection)

    def _answer(self, connection: Connection, line: bytes) -> None:
        number = None
        try:
            request = json.loads(line)
            number = request["id"]
            reply = VERBS[request["verb"]](self, connection, request)
        except Refused as error:
            connection.say({"id": number, "error": error.kind, "seen": str(error)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            connection.say(
                {"id": number, "error": "misspoken", "seen": f"{type(error).__name__}: {error}"}
            )
        except OSError as error:
            connection.say(
                {"id": number, "error": "system", "seen": str(error), "errno": error.errno}
            )
        else:
            if reply is not None:
                connection.say({"id": number, "ok": reply})

    def _lost(self, connection: Connection) -> None:
        """End what a client held that left without a release: it was killed."""
        self.poll.unregister(connection.sock)
        del self.connections[connection.sock.fileno()]
        connection.sock.close()
        for server in tuple(self.servers.values()):
            if server.owner is connection:
                self.abandon(server)
        if connection.claims:
            self.bury(paths=connection.claims, then=adoption.forgetting(connection.claims_file))

    def _flush(self) -> None:
        for connection in tuple(self.connections.values()):
            if connection.outgoing:
                self._send(connection)
                wanted = select.POLLIN | (select.POLLOUT if connection.outgoing else 0)
                self.poll.modify(connection.sock, wanted)

    def _send(self, connection: Connection) -> None:
        try:
            sent = connection.sock.send(connection.outgoing)
        except BlockingIOError:
            return
        except OSError:
            # The end of the connection shows in the next read; nobody is left to hear this.
            sent = len(connection.outgoing)
        connection.outgoing = connection.outgoing[sent:]

    def abandon(self, server: Server) -> None:
        """Its owner is gone: end it, unless somebody asked to have it kept."""
        server.owner = None
        if server.state in {OWNED, ORPHANED} and server.pinned > time.monotonic():
            server.state = WARM
            self.note(server)
        else:
            self.end(server)

    def note(self, server: Server) -> None:
        """Write the record of ``server``; a full disk does not end the keeper."""
        try:
            server.write(self.place)
        except OSError:
            # The old record still names the directory and the processes, which is what a next keeper needs most.
            return

    def end(self, server: Server) -> None:
        """Stop ``server`` and remove all of it; those in ``server.waiting`` are answered afterwards."""
        if server.state == ENDING:
            return
        died_before = server.state == DEAD
        server.state = ENDING
        if died_before or not self._signal(server, signal.SIGQUIT):
            self.bury_server(server)
        else:
            faultpoint("end.signalled")
            server.kill_at = time.monotonic() + QUIT_SECONDS

    def _signal(self, server: Server, number: int) -> bool:
        if server.pid <= 0:
            return False
        try:
            if server.handle >= 0:
                signal.pidfd_send_signal(server.handle, number)
            elif not server.adopted or identity.is_alive(server.pid, server.started):
                # A child of ours that was not reaped yet keeps its pid; an adopted one was just proven.
                os.kill(server.pid, number)
            else:
                return False
        except ProcessLookupError:
            return False
        return True

    def died(self, server: Server, status: int | None) -> None:
        """The postmaster is gone, asked or not."""
        self.unwatch(server)
        server.pid = 0
        if server.state != OWNED or server.owner is None:
            server.state = ENDING
            server.killed = True
            self.bury_server(server)
            return
        server.state = DEAD
        event = {
            "event": "died",
            "server": server.id,
            "status": status,
            "log": log_tail(server.dir),
        }
        server.owner.say(event)
        # Its owner may still want the directory; the processes are of no use to anybody.
        self._start_burial(Burial(server, (), self.roots))

    def bury_server(self, server: Server) -> None:
        """Remove all of a server whose postmaster is gone; those in ``server.waiting`` are answered afterwards."""
        self.unwatch(server)
        self._start_burial(
            Burial(server, server.paths, self.roots, then=lambda left: self._gone(server, left))
        )

    def _gone(self, server: Server, left: list[str]) -> None:
        faultpoint("burial.done")
        self.servers.pop(server.id, None)
        for connection, number in server.waiting:
            connection.say({"id": number, "ok": {"left": left}})

    def bury(self, paths: Iterable[str], then: Callable[[list[str]], None]) -> None:
        """Remove ``paths`` in the background, then call ``then`` with complaints."""
        self._start_burial(Burial(None, paths, self.roots, then=then))

    def _start_burial(self, burial: Burial) -> None:
        listening = [self.listener.fileno(), *self.connections]
        try:
            self.burials[burial.start(close=listening)] = burial
        except OSError:
            # No process to be had just now: tried again by the clock.
            self.unburied.append(burial)

    def _finish_burial(self, burial: Burial, status: int) -> None:
        left = burial.finish()
        if status and burial.killed < MOST_KILLED:
            # Not its fault, and nothing that it says of what is left can be believed.
            burial.killed += 1
            self.unburied.append(burial)
            return
        if left and not burial.is_last_attempt:
            burial.attempts += 1
            self.unburied.append(burial)
            return
        self.complaints = [*self.complaints, *left][-COMPLAINTS:]
        burial.then(left)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.burials:
                self._finish_burial(self.burials.pop(pid), status)
                continue
            for server in tuple(self.servers.values()):
                if server.pid == pid:
                    self.died(server, os.waitstatus_to_exitcode(status))

    def _end_everything(self) -> None:
        self.ending = True
        for server in tuple(self.servers.values()):
            self.end(server)
        for connection in tuple(self.connections.values()):
            self._lost(connection)

    def watch(self, server: Server) -> None:
        """Be woken when an adopted postmaster ends; it is not a child of ours."""
        if hasattr(os, "pidfd_open"):
            try:
                server.handle = os.pidfd_open(server.pid)
            except OSError:
                return
            self.watched[server.handle] = lambda: self.died(server, None)
            self.poll.register(server.handle, select.POLLIN)

    def unwatch(self, server: Server) -> None:
        """Stop watching ``server``."""
        if server.handle >= 0:
            self.poll.unregister(server.handle)
            del self.watched[server.handle]
            os.close(server.handle)
            server.handle = -1


def peer(sock: _socket.socket) -> tuple[int, int]:
    """Return the user and the pid at the other end of a Unix socket, as the system knows them."""
    if hasattr(_socket, "SO_PEERCRED"):
        facts = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(facts[at : at + 4], "little") for at in (0, 4))
        return uid, pid
    # macOS: LOCAL_PEERCRED gives a struct xucred, whose second word is the user (sys/un.h, sys/ucred.h).
    sol_local, local_peercred, local_peerpid = 0, 1, 2
    facts = sock.getsockopt(sol_local, local_peercred, 76)
    return int.from_bytes(facts[4:8], "little"), sock.getsockopt(sol_local, local_peerpid)


def log_tail(directory: str, size: int = 4000) -> str:
    """Return the end of a server's log."""
    try:
        with open(f"{directory}/postgres.log", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
