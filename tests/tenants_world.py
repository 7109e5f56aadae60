"""A server with workspaces, and pools on it that are looked at from outside."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from postgres_server import running_server

from freshpg.postgres.admin import Admin

PATIENCE = 20.0
"""Seconds after which something that should happen at once did not."""

WORKSPACES = 50
_numbers = count(1)


class Ground:
    """One server: a system database ``app``, workspaces ``ws_t0`` to ``ws_t49``, and the plain role that uses them."""

    def __init__(self, conninfo, workspaces=WORKSPACES):
        self.conninfo = conninfo
        with Admin.connect(conninfo) as admin:
            for name in ("app", *(f"ws_t{number}" for number in range(workspaces))):
                admin.execute(f"CREATE DATABASE {name} OWNER postgres STRATEGY file_copy")

    def address(self, dbname, user="postgres", **more):
        """Keywords of libpq for a database here."""
        return self.conninfo.with_(user=user, dbname=dbname).keywords() | more

    @property
    def tenants(self):
        """The address of tenants, as text."""
        return f"host={self.conninfo.host} port={self.conninfo.port} user=postgres dbname=ws_{{tenant}}"

    def options(self, **more):
        """What pools here are made with; their name on the server tells them apart from all others."""
        return {
            "system": self.address("app"),
            "admin": self.conninfo.keywords(),
            "application_name": f"pools {next(_numbers)}",
        } | more

    def sessions(self, application_name):
        """Databases that connections of this name are in, one for each."""
        with Admin.connect(self.conninfo) as admin:
            rows = admin.rows(
                "SELECT datname FROM pg_stat_activity WHERE application_name = %s AND datname IS NOT NULL",
                (application_name,),
            )
        return sorted(name for (name,) in rows)

    def settled(self, application_name, expected):
        """Wait until exactly these are connected: a server's process outlives its socket by a moment."""
        return eventually(lambda: self.sessions(application_name) == sorted(expected))

    def end_sessions(self, application_name):
        """End all connections of this name, as an administrator does."""
        with Admin.connect(self.conninfo) as admin:
            rows = admin.rows(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
                (application_name,),
            )
        assert all(ended for (ended,) in rows)
        return len(rows)


def eventually(condition):
    """Wait for a condition; false only when it did not come true in all the time a loaded machine needs."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            return False
        threading.Event().wait(0.005)
    return True


def together(acts):
    """Run every act in a thread of its own, all begun at once; return results and exceptions in order."""
    acts = list(acts)
    results = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(number, act):
        try:
            start.wait(PATIENCE)
            results[number] = act()
        except BaseException as error:  # noqa: BLE001 (told to the test)
            results[number] = error

    threads = [
        threading.Thread(target=run, args=item, name=f"caller {item[0]}", daemon=True)
        for item in enumerate(acts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} hangs"
    return results


def succeeded(results):
    """The results, none of which may be an error."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@contextmanager
def another_tongue(conninfo, refused):
    """Yield a directory whose socket leads to a server, but for some databases refuses in words that are not English.

    ``refused`` says what is sent for a database: severity, SQLSTATE and message, as a server with other
    ``lc_messages`` words them.
    """
    with TemporaryDirectory(prefix="fpgt-", dir=Path(conninfo.host).parent) as place:
        Path(place).chmod(0o755)

        class Session(socketserver.BaseRequestHandler):
            def handle(self):
                size = self.request.recv(4, socket.MSG_WAITALL)
                start = self.request.recv(int.from_bytes(size) - 4, socket.MSG_WAITALL)
                words = start[4:].split(b"\0")
                database = dict(zip(words[::2], words[1::2], strict=False))[b"database"].decode()
                if database not in refused:
                    self.pass_on(size + start)
                    return
                severity, state, message = refused[database]
                fields = f"S{severity}\0VFATAL\0C{state}\0M{message}\0\0".encode()
                self.request.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)

            def pass_on(self, start):
                with socket.socket(socket.AF_UNIX) as server:
                    server.connect(f"{conninfo.host}/.s.PGSQL.{conninfo.port}")
                    server.sendall(start)
                    ends = {self.request: server, server: self.request}
                    while True:
                        for end in select.select(list(ends), [], [])[0]:
                            data = end.recv(65536)
                            if not data:
                                return
                            ends[end].sendall(data)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        with Server(f"{place}/.s.PGSQL.{conninfo.port}", Session) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield place
            finally:
                server.shutdown()
                thread.join(PATIENCE)


@contextmanager
def rough_ground():
    """Yield a ground of its own whose server may be stopped, and where the role ``rotating`` needs its password."""
    with running_server() as conninfo:
        rules = Path(conninfo.host, "data", "pg_hba.conf")
        rules.write_text(f"local all rotating scram-sha-256\n{rules.read_text()}")
        with Admin.connect(conninfo) as admin:
            admin.execute("CREATE ROLE rotating LOGIN PASSWORD 'first'")
            admin.execute("SELECT pg_reload_conf()")
        yield Ground(conninfo, workspaces=3)
