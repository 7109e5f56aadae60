"""The loops of tests that pytest-asyncio runs, one for each scope; registered when the first of them needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_Scope = Literal["function", "class", "module", "package", "session"]


def _fixture(scope: _Scope) -> Any:
    @pytest_asyncio.fixture(loop_scope=scope, name=f"_pg_loop_{scope}")
    async def loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
        yield asyncio.get_running_loop()

    return loop


of_function = _fixture("function")
of_class = _fixture("class")
of_module = _fixture("module")
of_package = _fixture("package")
of_session = _fixture("session")
