"""The keeper, run by file: ``python -I -S process.py <root> <idle seconds>``.

Its first act is to listen; whatever takes longer to import comes after. The modules beside this file are imported as
a package of their own name, so that neither site-packages nor freshpg itself is loaded, and their byte code is cached.

Order of locks and sockets at a root: whoever holds the lock on ``keeper.lock`` is its keeper, and only the keeper
binds, replaces or unlinks ``keeper.sock`` and unlinks the lock file. At its end it unlinks the socket, then the lock
file, then lets go of the lock. A client that connected in between is cut off before any reply and tries again. A
process that waited for a lock file which is no longer the one at that path holds a lock on nothing and tries again.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import sys
import time

LOCK_SECONDS = 5.0
FILES = 4096
"""More than a server opens (max_files_per_process is 1000) or a keeper has clients."""


def faultpoint(_name: str) -> None:
    """Pass a point of :mod:`freshpg.core.faults`, unless a test asks for faults."""


def main(root: str, idle: float) -> int:
    """Be the keeper at ``root``, unless there is one, until there was nothing to keep for ``idle`` seconds."""
    os.umask(0o077)
    os.chdir("/")
    lock = become_the_one(root)
    if lock is None:
        return 0
    faultpoint("keeper.lock_taken")
    listener = listen(root)
    faultpoint("keeper.listening")
    raise_limit_of_files()
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from keeper.loop import Keeper  # type: ignore[import-not-found]

    keeper = Keeper(root, listener, lock, idle)
    try:
        keeper.run()
    except BaseException:
        # The servers live on; the next keeper finds their records and takes over.
        report(root)
        raise
    remove_shelves(keeper.roots - {root})
    if not keeper.root_watch.is_gone():
        # Else what is at this path, if anything, is a successor's.
        leave(root, listener)
    return 0


def raise_limit_of_files() -> None:
    """Open as many files as we may: whoever started us may have been short of them, and servers inherit this."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def report(root: str) -> None:
    """Leave the traceback where the next client's error message can quote it."""
    import traceback

    with open(f"{root}/keeper.log", "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)


def become_the_one(root: str) -> int | None:
    """Return the held lock; None when another keeper answers at ``root``, or ``root`` is gone."""
    path = f"{root}/keeper.lock"
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if answers(root):
                return None
            time.sleep(0.005)
        os.close(lock)
    return None


def answers(root: str) -> bool:
    """Whether somebody listens at ``root``."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.connect(f"{root}/keeper.sock")
    except OSError:
        return False
    finally:
        probe.close()
    return True


def listen(root: str) -> _socket.socket:
    """Listen at ``root``, in place of a dead keeper's socket."""
    path = f"{root}/keeper.sock"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    faultpoint("keeper.socket_cleared")
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(path)
    faultpoint("keeper.socket_bound")
    os.chmod(path, 0o600)
    listener.listen(128)
    return listener


def remove_shelves(roots: set[str]) -> None:
    """Remove what is empty in other roots than the keeper's, and each with nothing else in it."""
    for place in roots:
        _remove_empty_shelves(place)
        _remove_empty(place)


def leave(root: str, listener: _socket.socket) -> None:
    """Remove the keeper's own files, and its root with nothing else in it."""
    faultpoint("keeper.leaving")
    _remove_file(f"{root}/keeper.sock")
    faultpoint("keeper.socket_gone")
    listener.close()
    _remove_file(f"{root}/keeper.log")
    faultpoint("keeper.log_gone")
    _remove_empty_shelves(root)
    faultpoint("keeper.shelves_gone")
    _remove_file(f"{root}/keeper.lock")
    faultpoint("keeper.lock_gone")
    _remove_empty(root)


def _remove_empty_shelves(place: str) -> None:
    for shelf in ("claims", "servers", "sockets"):
        _remove_empty(f"{place}/{shelf}")


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _remove_empty(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass


if __name__ == "__main__":
    if os.environ.get("FRESHPG_FAULTS"):
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from keeper.faults import faultpoint  # type: ignore[import-not-found, no-redef]
    # The client's child ends here; its grandchild belongs to nobody and is reaped by the system.
    if os.fork() == 0:
        sys.exit(main(sys.argv[1], float(sys.argv[2])))
