"""The loop of tests that anyio runs; registered when the first of them needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def _pg_loop_anyio() -> AsyncIterator[asyncio.AbstractEventLoop]:
    # Not returned: the loop must live as long as the fixture.
    yield asyncio.get_running_loop()  # noqa: PT022
