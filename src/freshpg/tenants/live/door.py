"""The end inside the application: a socket and the one thread that answers at it."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import FreshpgError, UsageInvalid
from freshpg.tenants.live.line import LONGEST_QUESTION, Unanswered, receive, send, trust
from freshpg.tenants.live.place import SUFFIX, make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE = 5.0
"""Seconds a client has to ask, and to read the answer."""

Answers = dict[str, "Callable[[dict[str, Any]], dict[str, Any]]"]
"""What may be asked, each with what answers it."""


class Door:
    """A socket at which this process answers questions of its own user.

    Args:
        answers: Called in the door's thread, one at a time.
        environ: Passed in by tests.

    Raises:
        PathUnusable: There is no place for a socket.
    """

    def __init__(self, answers: Answers, *, environ: Mapping[str, str] = os.environ) -> None:
        self._answers = answers
        self._owner = os.getpid()
        self._closing = threading.Lock()
        self._listener, self.path = _listen(make_directory(environ))
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="freshpg tenants", daemon=True)
        # Also when nobody closes it: a socket without a process is only waited for.
        self._unlink = weakref.finalize(self, _unlink, self.path, self._owner)
        _doors.add(self)
        self._thread.start()

    def close(self) -> None:
        """Answer no more; again is fine."""
        with self._closing:
            if self._owner != os.getpid() or not self._unlink.alive:
                return
            self._unlink()
            self._stop.close()
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def forget(self) -> None:
        """In a child: let go of the copies, which would keep clients waiting once the parent is gone."""
        for end in (self._listener, self._stop, self._stopped):
            end.close()

    def _serve(self) -> None:
        with (
            self._listener,
            self._stopped,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(self._listener, selectors.EVENT_READ)
            ready.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is self._listener for key, _ in ready.select()):
                # Whoever knocked may have gone again.
                with suppress(OSError):
                    self._welcome(self._listener.accept()[0])

    def _welcome(self, client: socket.socket) -> None:
        with client:
            try:
                trust(client)
                question = receive(client, PATIENCE, longest=LONGEST_QUESTION)
            except Unanswered:
                return
            send(client, self._answer(question), PATIENCE)

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        answer = self._answers.get(str(question.get("ask")), self._refuse)
        try:
            return answer(question)
        except FreshpgError as error:
            return {"error": error.to_json()}
        except Exception as error:  # noqa: BLE001 (told to whoever asked; the next question must find us here)
            seen = f"{type(error).__name__}: {error}"
            return {"error": FreshpgError("a question about tenant pools", seen=seen).to_json()}

    def _refuse(self, question: dict[str, Any]) -> dict[str, Any]:
        raise UsageInvalid(
            "a process was asked about its tenant pools",
            on=repr(question.get("ask")),
            seen=f"its version of freshpg answers {', '.join(self._answers)}",
            todo=("use the same version of freshpg in both",),
        )


_doors: weakref.WeakSet[Door] = weakref.WeakSet()


def _listen(directory: Path) -> tuple[socket.socket, Path]:
    name = f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
    # Under another name until it listens: a socket that refuses is taken for one whose process died.
    draft, path = directory / f".{name}", directory / name
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(draft))
        draft.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
        draft.rename(path)
    except OSError:
        listener.close()
        draft.unlink(missing_ok=True)
        raise
    return listener, path


def _unlink(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        path.unlink(missing_ok=True)


def _forget_all() -> None:
    for door in list(_doors):
        door.forget()


os.register_at_fork(after_in_child=_forget_all)
