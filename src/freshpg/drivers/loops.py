"""Ending what belongs to an event loop, from outside of it: when a lease ends, its loop may run, rest or be gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PATIENCE = 2.0
"""Seconds that a farewell may take."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def end_in(
    loop: asyncio.AbstractEventLoop,
    politely: Callable[[], Coroutine[Any, Any, object]],
    brutally: Callable[[], object],
) -> None:
    """End something in its loop where that can be waited for, and without it otherwise.

    It cannot be waited for where the loop is closed, or runs in this very thread.
    """
    if not loop.is_closed() and running_loop() is None:
        waiting = _limited(politely)
        with suppress(Exception):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(waiting, loop).result(PATIENCE + 1)
            else:
                loop.run_until_complete(waiting)
            return
    with suppress(Exception):
        brutally()


async def _limited(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        await work()
