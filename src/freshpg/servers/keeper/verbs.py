"""What a client may ask of the keeper. Each verb takes a request and returns its reply, or None to reply later."""

from __future__ import annotations

import os
import time

from . import adoption, identity, launch, ledger, remains
from .faults import faultpoint
from .records import DEAD, ENDING, ORPHANED, OWNED, WARM, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .loop import Keeper
    from .records import Connection

    Request = dict[str, Any]
    Reply = dict[str, Any] | None

PROTOCOL = 1


class Refused(Exception):
    """A request that will not be done; ``kind`` is stable, for programs."""

    def __init__(self, kind: str, seen: str) -> None:
        super().__init__(seen)
        self.kind = kind


def hello(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Introduce a client; its further roots are accepted when they are ours alone."""
    connection.label = str(request.get("label", ""))[:200]
    connection.offered = set(request.get("roots", ()))
    _accept_roots(keeper, connection)
    return {"pid": os.getpid(), "protocol": PROTOCOL, "roots": sorted(keeper.roots)}


def _accept_roots(keeper: Keeper, connection: Connection) -> None:
    """Take the roots a client named that are there by now and ours alone."""
    for root in connection.offered - keeper.roots:
        if remains.owned_root(root):
            keeper.roots.add(root)
            adoption.take_over(keeper, root)


def claim(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Note paths that go when this client dies."""
    paths = set(request["paths"])
    _accept_roots(keeper, connection)
    for path in paths:
        if not remains.root_of(path, keeper.roots):
            raise Refused(
                "outside", f"{path} is not two levels below one of {sorted(keeper.roots)}"
            )
    _set_claims(keeper, connection, connection.claims | paths)
    return {}


def unclaim(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Forget paths: they are complete, or already gone."""
    _set_claims(keeper, connection, connection.claims - set(request["paths"]))
    return {}


def discard(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Remove claimed paths now and answer when they are gone."""
    paths = set(request["paths"])
    if not paths <= connection.claims:
        raise Refused(
            "outside", f"{sorted(paths - connection.claims)} was not claimed by this client"
        )

    def gone(left: list[str]) -> None:
        _set_claims(keeper, connection, connection.claims - paths)
        connection.say({"id": request["id"], "ok": {"left": left}})

    keeper.bury(paths, then=gone)
    return None


def _set_claims(keeper: Keeper, connection: Connection, claims: set[str]) -> None:
    if not connection.claims_file:
        os.makedirs(f"{keeper.root}/{ledger.CLAIMS}", 0o700, exist_ok=True)
        faultpoint("claim.shelf_made")
        connection.claims_file = f"{keeper.root}/{ledger.CLAIMS}/{os.urandom(8).hex()}.json"
    if claims:
        record = {"paths": sorted(claims), "owner": connection.owner(), **keeper.place}
        ledger.write(connection.claims_file, record)
    else:
        ledger.forget(connection.claims_file)
    connection.claims = claims


def start(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Run a postmaster; its paths leave the claims and go with the server from now on."""
    server = Server(
        {
            **{name: request[name] for name in ("dir", "data", "uid", "gid")},
            "id": request["server"],
            "key": request.get("key", ""),
            "paths": sorted({request["dir"], *request.get("paths", ())}),
            "meta": request.get("meta", {}),
        }
    )
    if server.id in keeper.servers:
        raise Refused("exists", f"a server {server.id} runs already")
    for path in server.paths:
        if not remains.root_of(path, keeper.roots):
            raise Refused(
                "outside", f"{path} is not two levels below one of {sorted(keeper.roots)}"
            )
    server.owner = connection
    # The record first: a keeper that dies between here and the fork leaves a directory that says what it is.
    server.write(keeper.place)
    faultpoint("start.recorded")
    _set_claims(keeper, connection, connection.claims - set(server.paths))
    faultpoint("start.unclaimed")
    keeper.servers[server.id] = server
    try:
        server.pid = launch.launch(
            request["argv"],
            request["env"],
            data=server.data,
            log=f"{server.dir}/postgres.log",
            uid=server.uid,
            gid=server.gid,
        )
    except OSError:
        server.state = DEAD
        raise
    faultpoint("start.launched")
    server.started = identity.start_token(server.pid)
    server.write(keeper.place)
    faultpoint("start.noted")
    return {"pid": server.pid}


def take(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Give a free warm server with the wanted key to this client."""
    for server in keeper.servers.values():
        if (
            server.state == WARM
            and server.key == request["key"]
            and request.get("server", server.id) == server.id
        ):
            left, server.left = server.left, {}
            _own(keeper, connection, server)
            # Told once: whoever has it now may change what was left.
            return {"server": {**server.to_json(), "left": left}}
    return {"server": None}


def resume(keeper: Keeper, connection: Connection, _request: Request) -> Reply:
    """Give back to a client what it owned before the previous keeper died."""
    me = (connection.pid, connection.started)
    mine = [
        server
        for server in keeper.servers.values()
        if server.state == ORPHANED and _of(server.former) == me
    ]
    for server in mine:
        _own(keeper, connection, server)
    for path, record in tuple(keeper.orphans.items()):
        if _of(record["owner"]) == me:
            del keeper.orphans[path]
            _set_claims(keeper, connection, connection.claims | set(record["paths"]))
            faultpoint("resume.claimed")
            ledger.forget(path)
    return {"servers": [server.to_json() for server in mine]}


def _of(owner: dict[str, Any]) -> tuple[int, str]:
    return owner["pid"], owner["start"]


def _own(keeper: Keeper, connection: Connection, server: Server) -> None:
    server.owner, server.state = connection, OWNED
    keeper.note(server)
    faultpoint("take.owned")


def release(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Give a server back: warm for ``linger`` seconds with what is ``left`` on it, or with 0 ended before the reply."""
    server = _mine(keeper, connection, request)
    server.until = time.monotonic() + float(request["linger"])
    if server.state == OWNED and server.expires() > time.monotonic():
        server.owner, server.state = None, WARM
        server.former = {}
        server.left = dict(request.get("left") or {})
        keeper.note(server)
        faultpoint("release.warm")
        return {"left": [], "warm": True}
    return _end_and_wait(keeper, connection, server, request)


def pin(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """Keep a server up for so many seconds whatever becomes of its owner; 0 lets it go."""
    server = _mine(keeper, connection, request)
    server.pinned = time.monotonic() + float(request["seconds"])
    keeper.note(server)
    return {}


def status(keeper: Keeper, _connection: Connection, _request: Request) -> Reply:
    """Tell everything."""
    now = time.monotonic()
    return {
        "pid": os.getpid(),
        "root": keeper.root,
        "roots": sorted(keeper.roots),
        "clients": [
            {**other.owner(), "claims": sorted(other.claims)}
            for other in keeper.connections.values()
        ],
        "servers": [
            {
                **server.to_json(),
                "idle_left": max(0.0, server.expires() - now) if server.state == WARM else None,
            }
            for server in keeper.servers.values()
        ],
        "removing": len(keeper.burials) + len(keeper.unburied),
        "complaints": keeper.complaints,
    }


def stop(keeper: Keeper, connection: Connection, request: Request) -> Reply:
    """End a server, or with ``all`` every free one; owned ones of others only with ``force``."""
    force = bool(request.get("force"))
    if not request.get("all"):
        server = keeper.servers.get(request["server"])
        if server is None:
            return {"left": []}
        if server.owner not in {None, connection} and not force:
            raise Refused(
                "owned",
                f"server {server.id} is used by process {server.owner.pid}",
            )
        return _end_and_wait(keeper, connection, server, request)
    wanted = [server for server in keeper.servers.values() if server.owner is None or force]
    if not wanted:
        return {"left": [], "stopped": 0}
    group = _Group(connection, request["id"], len(wanted))
    for server in wanted:
        server.waiting.append((group, None))
        keeper.end(server)
    return None


class _Group:
    """Stands where a connection is waited for: answers once, after the last of several servers."""

    def __init__(self, connection: Connection, number: Any, count: int) -> None:
        self.connection, self.number, self.count = connection, number, count
        self.missing = count
        self.left: list[str] = []

    def say(self, message: dict[str, Any]) -> None:
        self.missing -= 1
        self.left += message["ok"]["left"]
        if not self.missing:
            reply = {"left": self.left, "stopped": self.count}
            self.connection.say({"id": self.number, "ok": reply})


def _mine(keeper: Keeper, connection: Connection, request: Request) -> Server:
    server = keeper.servers.get(request["server"])
    if server is None or server.state == ENDING:
        raise Refused("gone", f"there is no server {request['server']}")
    if server.owner is not connection:
        raise Refused("owned", f"server {server.id} is not this client's")
    return server


def _end_and_wait(
    keeper: Keeper, connection: Connection, server: Server, request: Request
) -> Reply:
    server.waiting.append((connection, request["id"]))
    server.owner = None
    keeper.end(server)
    return None


VERBS: dict[str, Callable[[Keeper, Connection, Request], Reply]] = {
    verb.__name__: verb
    for verb in (hello, claim, unclaim, discard, start, take, resume, release, pin, status, stop)
}
