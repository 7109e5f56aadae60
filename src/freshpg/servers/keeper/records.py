"""What the keeper knows of its connections and servers."""

from __future__ import annotations

import json

from . import identity, ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any, Protocol

    class Listener(Protocol):
        """Who can be told something."""

        def say(self, message: dict[str, Any]) -> None:
            """Hear one message."""


OWNED = "owned"
WARM = "warm"
ORPHANED = "orphaned"
ENDING = "ending"
DEAD = "dead"


class Connection:
    """A client. Its end without a release means that it was killed."""

    def __init__(self, sock: _socket.socket, pid: int) -> None:
        self.sock = sock
        self.pid = pid
        self.started = identity.start_token(pid)
        self.label = ""
        self.offered: set[str] = set()
        self.claims: set[str] = set()
        self.claims_file = ""
        self.incoming = b""
        self.outgoing = b""

    def say(self, message: dict[str, Any]) -> None:
        """Queue one line for the client."""
        self.outgoing += json.dumps(message).encode() + b"\n"

    def owner(self) -> dict[str, Any]:
        """Return who the client is, for records and for ``status``."""
        return {"pid": self.pid, "start": self.started, "label": self.label}


class Server:
    """A postmaster, running or not, and all that is to be removed with it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.id: str = record["id"]
        self.dir: str = record["dir"]
        self.data: str = record["data"]
        self.key: str = record["key"]
        self.uid: int = record["uid"]
        self.gid: int = record["gid"]
        self.paths: list[str] = record["paths"]
        self.meta: dict[str, Any] = record["meta"]
        self.left: dict[str, Any] = record.get("left") or {}
        self.pid: int = record.get("pid", 0)
        self.started: str = record.get("start", "")
        self.state: str = record.get("state", OWNED)
        self.until: float = record.get("until", 0.0)
        self.pinned: float = record.get("pinned", 0.0)
        self.former: dict[str, Any] = record.get("owner") or {}
        self.owner: Connection | None = None
        self.adopted = False
        self.handle = -1
        self.kill_at = 0.0
        self.killed = False
        self.waiting: list[tuple[Listener, Any]] = []

    def expires(self) -> float:
        """Return the monotonic time in seconds until which an idle server stays up."""
        return max(self.until, self.pinned)

    def to_json(self) -> dict[str, Any]:
        """Return what ``server.json`` and the replies say of this server."""
        named = (
            "id",
            "dir",
            "data",
            "key",
            "uid",
            "gid",
            "paths",
            "meta",
            "left",
            "pid",
            "state",
            "until",
            "pinned",
        )
        return {
            **{name: getattr(self, name) for name in named},
            "start": self.started,
            "owner": self.owner.owner() if self.owner else self.former,
        }

    def write(self, place: dict[str, Any]) -> None:
        """Write the record; ``place`` says which keeper, boot and pid namespace it belongs to."""
        ledger.write(f"{self.dir}/server.json", {**self.to_json(), **place})
