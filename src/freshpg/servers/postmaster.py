"""Starting a server of ours on a ready data directory, and the handle to it.

The keeper runs ``postgres`` itself: ``pg_ctl`` looks every 100 ms only, for the start and again for the stop.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from freshpg.core.clock import SYSTEM_CLOCK, Clock, Deadline
from freshpg.core.conninfo import Conninfo, redact
from freshpg.core.errors import FreshpgError, KeeperFailed, KeeperRefused
from freshpg.core.faults import faultpoint
from freshpg.servers.start_failure import start_failure
from freshpg.servers.tuning import Listening, Setting, arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freshpg.servers.keeper.client import Keeper
    from freshpg.servers.keeper.reports import ServerRecord
    from freshpg.servers.runas import RunAs
    from freshpg.servers.storage import ServerPlace

ADMIN_ROLE: Final = "freshpg_admin"
COORDINATION_DATABASE: Final = "postgres"

READY: Final = "ready"
HIDDEN_PORT: Final = "hidden_port"
"""What names the socket of an idle server meanwhile, among what its last owner left for the next."""
POLL_SECONDS: Final = 0.0005
SLOW_POLL_SECONDS: Final = 0.005
PATIENCE_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 600.0


class Programs(Protocol):
    """What is needed to know of an installation: :class:`freshpg.servers.binaries.Binaries` has it."""

    def program(self, name: str) -> Path:
        """Return the path of a program."""

    def environment(self) -> dict[str, str]:
        """Return the variables its programs need."""


@dataclass(frozen=True, slots=True)
class ServerHandle:
    """A running server that this process owns through the keeper."""

    keeper: Keeper = field(repr=False)
    id: str
    directory: Path
    data: Path
    sockets: Path
    port: int
    pid: int
    meta: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, keeper: Keeper, record: ServerRecord) -> ServerHandle:
        """Return the handle of a warm server that was taken."""
        meta = record.meta
        sockets, port = Path(meta["sockets"]), int(meta["port"])
        hidden = record.left.get(HIDDEN_PORT)
        if hidden:
            _socket(sockets, int(hidden)).rename(_socket(sockets, port))
            faultpoint("socket.shown")
        return cls(
            keeper, record.id, record.directory, record.data, sockets, port, record.pid, meta
        )

    @property
    def conninfo(self) -> Conninfo:
        """Address of the coordination database for the control role."""
        return Conninfo(
            str(self.sockets), self.port, ADMIN_ROLE, dbname=COORDINATION_DATABASE, settled=True
        )

    @property
    def alive(self) -> bool:
        """Whether keeper and postmaster are there, as far as the keeper reported."""
        return self.keeper.alive and self.id not in self.keeper.died

    @property
    def missing(self) -> str:
        """What is gone of the files without which it lets nobody in, whatever it says itself; empty while all are there."""
        needed = (_socket(self.sockets, self.port), self.data / "global" / "pg_control")
        return next((str(path) for path in needed if not os.path.lexists(path)), "")

    def stop(self) -> list[str]:
        """End the server at once; on return nothing of it is left but what is returned."""
        return self.release(linger=0)

    def hide(self) -> dict[str, Any]:
        """Move the socket away, and return what the next owner is told to find it: until then no address works.

        What a test left running, a pool that reconnects for one, knows the address and would get in otherwise.
        """
        hidden = self.port
        while hidden == self.port:
            hidden = 1024 + secrets.randbelow(65536 - 1024)
        _socket(self.sockets, self.port).rename(_socket(self.sockets, hidden))
        faultpoint("socket.hidden")
        return {HIDDEN_PORT: hidden}

    def release(self, *, linger: float, left: Mapping[str, Any] | None = None) -> list[str]:
        """Give the server back; it stays warm for ``linger`` seconds, with what is ``left`` on it. Idempotent."""
        try:
            return self.keeper.release(self.id, linger=linger, left=left)
        except KeeperRefused as error:
            if error.data["kind"] == "gone":
                return []
            raise

    def pin(self, *, seconds: float) -> None:
        """Keep the server up for ``seconds`` whatever becomes of this process."""
        self.keeper.pin(self.id, seconds=seconds)

    def log_tail(self, size: int = 4000) -> str:
        """Return the last ``size`` bytes of the log, without passwords."""
        return log_tail(self.directory, size)


def _socket(directory: Path, port: int) -> Path:
    """Return the socket that a port names (``UNIXSOCK_PATH`` in src/include/libpq/pqcomm.h)."""
    return directory / f".s.PGSQL.{port}"


def start(
    keeper: Keeper,
    place: ServerPlace,
    programs: Programs,
    run_as: RunAs,
    settings: Iterable[Setting],
    *,
    port: int = 5432,
    tcp: bool = False,
    key: str = "",
    meta: Mapping[str, Any] | None = None,
    patience: float = PATIENCE_SECONDS,
    clock: Clock = SYSTEM_CLOCK,
) -> ServerHandle:
    """Start a server on ``place.data`` and return when it accepts connections.

    Args:
        keeper: Starts and watches it. ``place.paths`` were claimed, made and filled before.
        place: Where it lives; ``place.data`` belongs to ``run_as``.
        programs: What to run.
        run_as: Who runs it.
        settings: From :func:`freshpg.servers.tuning.throwaway`.
        port: Names the socket, and with ``tcp`` the port on 127.0.0.1.
        tcp: Whether to listen on loopback as well.
        key: What a later :meth:`Keeper.take` asks for.
        meta: Facts for whoever takes it later; ``sockets`` and ``port`` are added.
        patience: Seconds without any progress until giving up; progress is a longer log or a new state.
        clock: Passed in by tests.

    Raises:
        ServerStartFailed: It exited or stood still; says why and what to do. Nothing of it is left.
        DiskFull: There was no space.
        KeeperFailed: The keeper could not start it.
    """
    listening = Listening(str(place.sockets), port, tcp)
    facts = {**(meta or {}), "sockets": str(place.sockets), "port": port}
    argv = [str(programs.program("postgres")), "-D", str(place.data)]
    pid = _run(
        keeper,
        place,
        argv=[*argv, *arguments((*settings, *listening.settings()))],
        programs=programs,
        run_as=run_as,
        key=key,
        meta=facts,
    )
    handle = ServerHandle(
        keeper, place.id, place.directory, place.data, place.sockets, port, pid, facts
    )
    try:
        faultpoint("postmaster.launched")
        _wait_until_ready(handle, patience, clock)
        faultpoint("postmaster.ready")
    except BaseException:
        if keeper.alive:
            handle.stop()
        raise
    return handle


def environment(programs: Programs) -> dict[str, str]:
    """Return the whole environment of a server: nothing of ours (PG*, LD_PRELOAD, secrets) gets in.

    ``LC_ALL`` must be set on macOS, where ``setlocale`` otherwise starts a thread and the postmaster refuses that.
    """
    return {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin", **programs.environment()}


def log_tail(directory: Path, size: int = 4000) -> str:
    """Return the last ``size`` bytes of the log of the server in ``directory``, without passwords."""
    try:
        with (directory / "postgres.log").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - size))
            return redact(file.read().decode(errors="replace"))
    except OSError:
        return ""


def _run(
    keeper: Keeper,
    place: ServerPlace,
    *,
    argv: list[str],
    programs: Programs,
    run_as: RunAs,
    key: str,
    meta: Mapping[str, Any],
) -> int:
    try:
        return keeper.start(
            place.id,
            directory=place.directory,
            data=place.data,
            argv=argv,
            env=environment(programs),
            uid=run_as.uid,
            gid=run_as.gid,
            key=key,
            paths=place.paths,
            meta=meta,
        )
    except KeeperRefused as error:
        if error.data["kind"] != "system":
            raise
        keeper.stop(place.id)
        keeper.claim(place.paths)
        keeper.discard(place.paths)
        on = f"{argv[0]} as user {run_as.uid}"
        raise start_failure(error.seen, on=on, seen="", place=place.directory.parent) from None


def _wait_until_ready(handle: ServerHandle, patience: float, clock: Clock) -> None:
    # Loaded while the server starts: it takes longer than the start, and the caller's next step needs it.
    import freshpg.postgres.admin  # noqa: F401

    longest, patient = Deadline(LONGEST_SECONDS, clock), Deadline(patience, clock)
    progress: tuple[str, int] | None = None
    looks = 0
    while (state := _state(handle)) != READY:
        looks += 1
        if looks % 8 == 0:
            _require_alive(handle)
        now = (state, _log_size(handle))
        if now != progress:
            progress, patient = now, Deadline(patience, clock)
        if patient.expired or longest.expired:
            raise _failed(handle, f"no progress for {patience:g} s, state {state or 'unknown'!r}")
        clock.sleep(POLL_SECONDS if patient.elapsed < 1.0 else SLOW_POLL_SECONDS)


def _state(handle: ServerHandle) -> str:
    """Return what the postmaster says of itself in line 8 of its pid file, as ``pg_ctl`` reads it.

    https://github.com/postgres/postgres/blob/master/src/include/utils/pidfile.h
    """
    try:
        lines = (handle.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    mine = len(lines) > 7 and lines[0] == str(handle.pid)
    return lines[7].strip() if mine else ""


def _log_size(handle: ServerHandle) -> int:
    try:
        return (handle.directory / "postgres.log").stat().st_size
    except OSError:
        return 0


def _require_alive(handle: ServerHandle) -> None:
    if not handle.keeper.alive:
        raise KeeperFailed(
            "a server was being started",
            on=str(handle.directory),
            seen="the keeper ended meanwhile",
            todo=("run again: a new keeper starts and clears up after the old one",),
        )
    died = handle.keeper.died.get(handle.id)
    if died:
        raise _failed(handle, f"it exited with status {died.status}")


def _failed(handle: ServerHandle, seen: str) -> FreshpgError:
    directory = handle.directory
    return start_failure(handle.log_tail(), on=str(directory), seen=seen, place=directory)
