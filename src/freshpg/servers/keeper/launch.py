"""Becoming a postmaster: fork, drop to its user, exec."""

from __future__ import annotations

import errno
import os
import select
import signal

from .faults import faultpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


LAUNCH_SECONDS = 20.0
"""How long the system may take from fork to exec."""


def launch(
    argv: Sequence[str], env: Mapping[str, str], *, data: str, log: str, uid: int, gid: int
) -> int:
    """Start ``argv`` in ``data`` as user ``uid``, in a session of its own, and return its pid.

    Standard output and error go to ``log``, nothing else is inherited.

    Raises:
        OSError: What failed, before or at exec.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    output = os.open(log, flags, 0o600)
    faultpoint("launch.log_made")
    reader, writer = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, env, data=data, output=output, uid=uid, gid=gid, writer=writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
        os.close(output)
    # The writing end closes at exec, so the end of this pipe is the proof that exec happened.
    try:
        if not select.select([reader], [], [], LAUNCH_SECONDS)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(errno.ETIMEDOUT, f"not running within {LAUNCH_SECONDS:g} s")
        failure = os.read(reader, 4000).decode("ascii")
    finally:
        os.close(reader)
    if failure:
        os.waitpid(pid, 0)
        number, _, step = failure.partition(" ")
        raise OSError(int(number), f"{os.strerror(int(number))} ({step})")
    return pid


def _become(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    data: str,
    output: int,
    uid: int,
    gid: int,
    writer: int,
) -> NoReturn:
    step = "preparing"
    try:
        signal.set_wakeup_fd(-1)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
            signal.SIGPIPE,
        ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if uid != os.geteuid():
            step = f"becoming user {uid}"
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        step = f"entering {data}"
        os.chdir(data)
        os.umask(0o077)
        step = f"running {argv[0]}"
        os.execve(argv[0], list(argv), env)  # noqa: S606 (no shell is what is wanted)
    except OSError as error:
        os.write(writer, f"{error.errno} {step}".encode("ascii", "replace"))
    finally:
        os._exit(127)
