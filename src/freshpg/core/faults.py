"""Named points between two durable effects, where a test can have this process fail.

Off unless ``FRESHPG_FAULTS`` names a directory when this module is imported; then a point costs one look-up there. A
file of the point's name in it is an order, and whoever renames it away carries it out: exactly one process, once.
What it says is one of :data:`ACTIONS`, a pause with its seconds after a colon::

    kill        end this process as SIGKILL does
    raise       raise FaultInjected, an error that nobody expects
    interrupt   raise KeyboardInterrupt, as Ctrl-C at this very point does
    full        raise OSError, no space left on device
    delay:0.2   do nothing for so long

Standard library only, and imported by file as well: the keeper runs without this package.
"""

from __future__ import annotations

import errno
import os

VARIABLE = "FRESHPG_FAULTS"
ACTIONS = ("kill", "raise", "interrupt", "full", "delay")
FIRED = ".fired"
"""What is added to the name of an order that was carried out."""
REACHED = "reached"
"""A file of this name in the directory gets a line from every point that is passed."""


class FaultInjected(Exception):
    """Raised by an order of a test, never otherwise."""


def _nothing(name: str) -> None:
    """Pass the point."""


def _carry_out_orders(name: str) -> None:
    _note(name)
    order = f"{_PLACE}/{name}"
    try:
        os.rename(order, order + FIRED)  # noqa: PTH104 (the keeper loads few modules)
    except OSError:
        return
    with open(order + FIRED, encoding="ascii") as file:  # noqa: PTH123 (as above)
        action, _, detail = file.read().strip().partition(":")
    if action == "kill":
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise FaultInjected(name)
    if action == "interrupt":
        raise KeyboardInterrupt(name)
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    if action == "delay":
        import time

        time.sleep(float(detail))


def _note(name: str) -> None:
    try:
        handle = os.open(f"{_PLACE}/{REACHED}", os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    try:
        os.write(handle, f"{name} {os.getpid()}\n".encode())
    finally:
        os.close(handle)


# Read once: a test may clear the environment.
_PLACE = os.environ.get(VARIABLE, "")
faultpoint = _carry_out_orders if _PLACE else _nothing
