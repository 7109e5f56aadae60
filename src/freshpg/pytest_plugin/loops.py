"""Which event loop a test runs in, asked of the plugin that will run it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DriverUnusable

if TYPE_CHECKING:
    import asyncio

    import pytest


def loop_of(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop | None:
    """Return the loop of an asynchronous test, at rest; None for any other test, and while the loop runs.

    Raises:
        DriverUnusable: The test runs on trio.
    """
    item: Any = request.node
    if not inspect.iscoroutinefunction(getattr(item, "function", None)):
        return None
    name = _fixture_for(request, item)
    if not name:
        return None
    from freshpg.drivers.loops import running_loop

    if running_loop() is not None:
        return None
    loop: asyncio.AbstractEventLoop = request.getfixturevalue(name)
    return loop


def _fixture_for(request: pytest.FixtureRequest, item: Any) -> str:
    """Return the name of the fixture that gives the loop; empty when no plugin is known to run the test."""
    plugins = request.config.pluginmanager
    if "anyio_backend" in item.fixturenames:
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            raise DriverUnusable(
                "an asynchronous fixture was asked for",
                on=item.nodeid,
                seen="the test runs on trio; psycopg and asyncpg know asyncio alone",
                todo=('have the fixture anyio_backend return "asyncio"',),
            )
        from freshpg.pytest_plugin import loop_anyio

        _register(plugins, loop_anyio)
        return "_pg_loop_anyio"
    if plugins.hasplugin("asyncio"):
        import pytest_asyncio

        if pytest_asyncio.is_async_test(item):
            from freshpg.pytest_plugin import loop_asyncio

            _register(plugins, loop_asyncio)
            return f"_pg_loop_{_scope_of(item)}"
    return ""


def _scope_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("asyncio")
    said = marker.kwargs.get("loop_scope") if marker is not None else None
    return str(said or item.config.getini("asyncio_default_test_loop_scope"))


def _register(plugins: Any, module: Any) -> None:
    if not plugins.is_registered(module):
        plugins.register(module, module.__name__)
