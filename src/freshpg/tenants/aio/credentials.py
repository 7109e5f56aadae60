"""Credentials that may have to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any

Credentials = Callable[["str | None"], "Mapping[str, Any] | Awaitable[Mapping[str, Any]]"]
"""Returns keywords such as ``user`` and ``password``, or an awaitable of them; ``None`` is the system database."""


async def ask(credentials: Credentials, tenant: str | None) -> Mapping[str, Any]:
    """Return what they are now."""
    found = credentials(tenant)
    return await found if isawaitable(found) else found


def answered_in(
    loop: asyncio.AbstractEventLoop, credentials: Credentials, seconds: float
) -> Callable[[str | None], Mapping[str, Any]]:
    """Return a callable for other threads, which has the question answered in ``loop``, within ``seconds``."""
    return lambda tenant: asyncio.run_coroutine_threadsafe(ask(credentials, tenant), loop).result(
        seconds
    )
