"""What a migration function wants, read off its first parameter, and how it gets it."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack, ExitStack, closing
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from freshpg.core.errors import UsageInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshpg.core.conninfo import Conninfo

_BY_NAME = {
    "conn": "psycopg.Connection",
    "connection": "psycopg.Connection",
    "engine": "sqlalchemy.Engine",
    "session": "sqlalchemy.Session",
}
_SYNC = {"psycopg.Connection", "sqlalchemy.Engine", "sqlalchemy.Connection", "sqlalchemy.Session"}
_ASYNC = {
    "psycopg.AsyncConnection",
    "asyncpg.Connection",
    "sqlalchemy.AsyncEngine",
    "sqlalchemy.AsyncConnection",
    "sqlalchemy.AsyncSession",
}


def call_with_database(function: Callable[..., Any], conninfo: Conninfo) -> None:
    """Call a migration function, synchronous or not, with what its first parameter asks for.

    Annotated ``str``, or not at all: the URL. ``psycopg.Connection``, ``psycopg.AsyncConnection``,
    ``asyncpg.Connection``, SQLAlchemy's ``Engine``, ``Connection``, ``Session`` and their ``Async…`` forms: one that is
    open; what it did is committed when the function returns. ``Conninfo``: the address in parts. Without parameters it
    finds the database in the environment.

    Raises:
        UsageInvalid: It needs more than one argument, or something unknown.
    """
    wanted = wanted_by(function)
    if wanted in _ASYNC:
        asyncio.run(_call_async(function, wanted, conninfo))
        return
    with ExitStack() as stack:
        arguments = [] if wanted is None else [_open(wanted, conninfo, stack)]
        result = function(*arguments)
        if inspect.isawaitable(result):
            asyncio.run(_await(result))


def wanted_by(function: Callable[..., Any]) -> str | None:
    """Return ``package.Class`` of what the first parameter asks for, ``str`` for the URL, ``None`` for nothing."""
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    needed = [parameter for parameter in parameters if parameter.default is parameter.empty]
    if not needed:
        return None
    first = needed[0]
    wanted = _name(_annotation(function, first))
    if wanted == "inspect._empty":
        wanted = _BY_NAME.get(first.name, "str")
    if (
        len(needed) > 1
        or first.kind is first.KEYWORD_ONLY
        or wanted not in {"str", "freshpg.Conninfo"} | _SYNC | _ASYNC
    ):
        raise UsageInvalid(
            "a migration function was about to be called",
            on=getattr(function, "__qualname__", repr(function)),
            seen=f"its parameters are {inspect.signature(function)}",
            todo=(
                "give it one parameter, annotated with str (the URL) or psycopg.Connection",
                f"annotations that are understood: str, {', '.join(sorted(_SYNC | _ASYNC))}",
            ),
        )
    return wanted


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    try:
        return get_type_hints(function).get(parameter.name, parameter.annotation)
    except (NameError, TypeError, AttributeError):
        # Imported for type checkers only: the text is all there is.
        return parameter.annotation


def _name(annotation: Any) -> str:
    if isinstance(annotation, str):
        text = annotation.strip("'\" ").partition("[")[0]
        return f"psycopg.{text}" if text in {"Connection", "AsyncConnection"} else _two_ends(text)
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return repr(kind)
    return "str" if kind is str else _two_ends(f"{kind.__module__}.{kind.__qualname__}")


def _two_ends(dotted: str) -> str:
    first, _, rest = dotted.partition(".")
    last = rest.rpartition(".")[2]
    if first in {"Engine", "Session", "AsyncEngine", "AsyncSession"}:
        return f"sqlalchemy.{first}"
    return f"{first}.{last}" if last else first


def _open(wanted: str, conninfo: Conninfo, stack: ExitStack) -> Any:
    match wanted:
        case "str":
            return conninfo.url()
        case "freshpg.Conninfo":
            return conninfo
        case "psycopg.Connection":
            import psycopg

            # Leaving its block commits, or rolls back on an exception.
            return stack.enter_context(psycopg.connect(**conninfo.keywords()))  # type: ignore[arg-type]
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine(conninfo.url("sqlalchemy+psycopg"))
    stack.callback(engine.dispose)
    match wanted:
        case "sqlalchemy.Connection":
            return stack.enter_context(engine.begin())
        case "sqlalchemy.Session":
            session = stack.enter_context(closing(Session(engine)))
            stack.enter_context(session.begin())
            return session
    return engine


async def _await(result: Any) -> None:
    await result


async def _call_async(function: Callable[..., Any], wanted: str, conninfo: Conninfo) -> None:
    async with AsyncExitStack() as stack:
        result = function(await _open_async(wanted, conninfo, stack))
        if inspect.isawaitable(result):
            await result


async def _open_async(wanted: str, conninfo: Conninfo, stack: AsyncExitStack) -> Any:
    match wanted:
        case "psycopg.AsyncConnection":
            import psycopg

            connection = await psycopg.AsyncConnection.connect(**conninfo.keywords())  # type: ignore[arg-type]
            return await stack.enter_async_context(connection)
        case "asyncpg.Connection":
            import asyncpg

            connected = await asyncpg.connect(conninfo.url("asyncpg"))
            stack.push_async_callback(connected.close)
            return connected
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(conninfo.url("sqlalchemy+psycopg"))
    stack.push_async_callback(engine.dispose)
    match wanted:
        case "sqlalchemy.AsyncConnection":
            return await stack.enter_async_context(engine.begin())
        case "sqlalchemy.AsyncSession":
            session = await stack.enter_async_context(AsyncSession(engine))
            await stack.enter_async_context(session.begin())
            return session
    return engine
