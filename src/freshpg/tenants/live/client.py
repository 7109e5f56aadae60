"""The end outside the application: who shows tenant pools on this machine, and asking them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.tenants.live.line import LONGEST_ANSWER, Unanswered, receive, send, trust
from freshpg.tenants.live.place import sockets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE = 15.0
"""Seconds an answer may take: the process may first ask its servers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one process said.

    Attributes:
        pid: The process.
        said: Its answer; empty when there is none.
        problem: Why there is none.
    """

    pid: int
    said: dict[str, Any]
    problem: str = ""


def ask_everybody(
    question: dict[str, Any],
    *,
    pid: int | None = None,
    environ: Mapping[str, str] = os.environ,
    seconds: float = PATIENCE,
) -> list[Answer]:
    """Ask every process of our user that shows its tenant pools, or the one with that ``pid``.

    Sockets whose process is dead are removed.
    """
    asked = ((_pid_of(path), path) for path in sockets(environ))
    answers = (
        _answer(found, path, question, seconds) for found, path in asked if pid in {None, found}
    )
    return [answer for answer in answers if answer is not None]


def _answer(pid: int, path: Path, question: dict[str, Any], seconds: float) -> Answer | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            trust(connection)
            send(connection, question, seconds)
            said = receive(connection, seconds, longest=LONGEST_ANSWER)
        except FileNotFoundError:
            return None
        except ConnectionRefusedError:
            # Nobody can listen at a socket again: only its process could, and it has gone.
            with suppress(OSError):
                path.unlink()
            return None
        except (Unanswered, OSError) as error:
            if isinstance(error, ConnectionResetError) and not _lives(pid):
                return None
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Answer(pid, {}, words)
    if "error" in said:
        problem = said["error"]
        return Answer(pid, {}, f"{problem['code']} {problem['title']}: {problem['seen']}")
    return Answer(pid, said)


def _lives(pid: int) -> bool:
    """Whether there is such a process, whoever's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _pid_of(path: Path) -> int:
    digits = path.name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0
