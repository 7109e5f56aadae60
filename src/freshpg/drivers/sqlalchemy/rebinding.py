"""``rebind``: an application's own session factory or engine, pointed at a test database for a while."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine, make_url
from sqlalchemy.orm import scoped_session, sessionmaker

from freshpg.core.errors import DriverUnusable, UsageInvalid
from freshpg.drivers.sqlalchemy.choice import DEFAULT, DRIVERS, require_usable
from freshpg.drivers.sqlalchemy.engines import async_engine, engine
from freshpg.drivers.sqlalchemy.joining import join_session
from freshpg.drivers.sqlalchemy.pools import WatchedPool
from freshpg.drivers.sqlalchemy.settings import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import URL, Dialect

    from freshpg.handle import Database


@contextmanager
def rebind(target: Any, database: Database, *, driver: str = "") -> Iterator[Any]:
    """Point an application's factory at a test database for a ``with`` block, and put it back.

    Sessions that a registry (``scoped_session``) holds are removed before and after; those in the hands of somebody
    keep what they are bound to.

    Args:
        target: A ``sessionmaker``, ``scoped_session``, ``async_sessionmaker``, ``async_scoped_session``, ``Engine`` or
            ``AsyncEngine``.
        database: Where it shall lead.
        driver: The driver to use; the application's own by default. An engine cannot change it.

    Yields:
        The target.

    Raises:
        UsageInvalid: The target is none of these.
        DriverUnusable: The driver cannot be used at this level of isolation.
    """
    with ExitStack() as undo:
        if isinstance(target, Engine) or _is_asynchronous(target, "AsyncEngine"):
            _turn_engine(target, database, driver, undo)
        else:
            _turn_factory(target, database, driver, undo)
        yield target


def _turn_factory(target: Any, database: Database, driver: str, undo: ExitStack) -> None:
    factory = target
    if isinstance(target, scoped_session) or _is_asynchronous(target, "async_scoped_session"):
        factory = target.session_factory
    asynchronous = _is_asynchronous(factory, "async_sessionmaker")
    if not (asynchronous or isinstance(factory, sessionmaker)):
        raise UsageInvalid(
            "a session factory was to be rebound",
            on=repr(target),
            seen=f"it is a {type(factory).__name__}",
            todo=(
                "name a sessionmaker, a scoped_session, their asynchronous kinds, or an engine",
                "where sessions choose among engines (get_bind), rebind the engines",
            ),
        )
    before = dict(factory.kw)
    make = async_engine if asynchronous else engine
    bind = make(database, driver=driver or _driver_of(before.get("bind")))
    _forget_sessions(target)
    # Binds by class or table would lead around the new one.
    factory.kw.pop("binds", None)
    factory.kw["bind"] = bind

    def put_back() -> None:
        _forget_sessions(target)
        factory.kw.clear()
        factory.kw.update(before)

    undo.callback(put_back)


def _is_asynchronous(target: Any, kind: str) -> bool:
    """Whether it is of a kind of SQLAlchemy's asynchronous side; who has one has imported that side."""
    side = sys.modules.get("sqlalchemy.ext.asyncio")
    return side is not None and isinstance(target, getattr(side, kind))


def _forget_sessions(target: Any) -> None:
    if isinstance(target, scoped_session):
        target.remove()
    elif _is_asynchronous(target, "async_scoped_session"):
        # Closing takes an event loop; the registry lets go of its session without one.
        with suppress(RuntimeError):  # scoped by task, and there is none
            target.registry.clear()


def _turn_engine(target: Any, database: Database, driver: str, undo: ExitStack) -> None:
    asynchronous = _is_asynchronous(target, "AsyncEngine")
    own: Engine = target.sync_engine if asynchronous else target
    used = _driver_of(own)
    if driver and driver != used:
        raise DriverUnusable(
            "an engine was to be rebound",
            on=repr(own.url),
            seen=f"it uses {used}, which cannot be changed for {driver}",
            todo=("leave the driver out", "rebind the sessionmaker with the other driver"),
        )
    require_usable(database, used, asynchronous=asynchronous)
    url = make_url(database.url_for(f"sqlalchemy+{used}"))
    # Recreated, a pool keeps the application's listeners and its size.
    pool = own.pool.recreate()
    pool._creator = _creator(own.dialect, database, used, url, asynchronous=asynchronous)  # noqa: SLF001 (what create_engine(creator=) sets)
    watched = WatchedPool(pool, PLAIN, asynchronous=asynchronous)
    before = own.pool, own.url
    own.pool, own.url = pool, url

    def put_back() -> None:
        own.pool, own.url = before
        watched.close_forgotten()
        if asynchronous:
            watched.close_opened()
        else:
            pool.dispose()

    undo.callback(put_back)


def _creator(
    dialect: Dialect, database: Database, driver: str, url: URL, *, asynchronous: bool
) -> Callable[[], Any]:
    positional, arguments = dialect.create_connect_args(url)

    def connect() -> Any:
        if database.isolation == "rollback":
            return join_session(
                dialect, database, driver, dict(arguments), asynchronous=asynchronous
            )
        return dialect.connect(*positional, **arguments)

    return connect


def _driver_of(bind: Any) -> str:
    dialect = getattr(bind, "dialect", None)
    used = str(getattr(dialect, "driver", DEFAULT)).removesuffix("_async")
    return used if used in DRIVERS else DEFAULT
