"""Waking a task, from its own loop or from another one."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung once; belongs to the loop it was made in."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    async def heard(self, seconds: float) -> bool:
        """Wait up to ``seconds``; whether it was rung."""
        await asyncio.wait((self._future,), timeout=max(0.0, seconds))
        return self._future.done()

    def ring(self) -> bool:
        """Ring it; ``False`` when its loop is closed, so that nobody can hear."""
        try:
            self._loop.call_soon_threadsafe(_ring, self._future)
        except RuntimeError:
            return False
        return True


def _ring(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
