"""Engines, made once for each address and driver and kept as long as whoever leases the databases.

Building an engine costs more than most tests; the name of a leased database, and so its URL, is the same from test to
test. An asynchronous engine keeps the connections of one event loop at a time: one that was opened in another loop is
replaced when it is checked out.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from freshpg.drivers.sqlalchemy.choice import DEFAULT, require_usable
from freshpg.drivers.sqlalchemy.joining import join_session
from freshpg.drivers.sqlalchemy.pools import WatchedPool
from freshpg.drivers.sqlalchemy.settings import PLAIN, SessionSettings
from freshpg.leases.forks import disown_in_children

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from freshpg.core.conninfo import Conninfo
    from freshpg.handle import Database, Keeper

_SAME_NAME_AGAIN = frozenset({"reset", "rollback"})
"""Levels whose next lease is, as a rule, the same database."""

_POOL_PATIENCE = 10.0
"""Seconds to wait for a connection of a pool that is used up."""


def engine(
    database: Database, *, driver: str = DEFAULT, settings: SessionSettings = PLAIN
) -> Engine:
    """Return an engine on a leased database; what it has open is closed with the lease, or kept for the next one.

    With isolation ``rollback`` its connections are those of ``db.connect()``.

    Args:
        database: The database.
        driver: ``psycopg``, ``psycopg2`` or ``pg8000``.
        settings: Timeouts and size of the pool.

    Raises:
        DriverUnusable: The driver is unknown, not installed, or cannot be used at this level of isolation.
    """
    require_usable(database, driver, asynchronous=False)
    return _engines_of(database.owner).lend(database, driver, settings).engine


def async_engine(
    database: Database,
    *,
    driver: str = DEFAULT,
    settings: SessionSettings = PLAIN,
    pooled: bool = True,
) -> AsyncEngine:
    """Return an asynchronous engine on a leased database; see :func:`engine`.

    With asyncpg, ``await engine.dispose()`` before the event loop ends, as its connections cannot be closed afterwards,
    or say ``pooled=False``.

    Args:
        database: The database.
        driver: ``psycopg`` or ``asyncpg``.
        settings: Timeouts and size of the pool.
        pooled: Keep connections for the next use in the same loop.

    Raises:
        DriverUnusable: The driver is unknown, not installed, or ``greenlet`` is missing.
    """
    require_usable(database, driver, asynchronous=True)
    kept = _engines_of(database.owner).lend(
        database, driver, settings, asynchronous=True, pooled=pooled
    )
    assert kept.asynchronous is not None  # noqa: S101 (asked for)
    return kept.asynchronous


@dataclass(frozen=True, slots=True)
class _Key:
    address: Conninfo
    driver: str
    is_async: bool
    in_one_session: bool
    settings: SessionSettings
    is_pooled: bool = True


class KeptEngine:
    """One engine, and who uses it."""

    def __init__(self, key: _Key) -> None:
        options = _options(key)
        url = key.address.url(f"sqlalchemy+{key.driver}")
        self.asynchronous: AsyncEngine | None = None
        if key.is_async:
            # SQLAlchemy 2.1 refuses this import without greenlet, which it no longer brings.
            from sqlalchemy.ext.asyncio import create_async_engine

            self.asynchronous = create_async_engine(url, **options)
            self.engine = self.asynchronous.sync_engine
        else:
            self.engine = create_engine(url, **options)
        self._key = key
        self._watched = WatchedPool(self.engine.pool, key.settings, asynchronous=key.is_async)
        self._database: weakref.ref[Database] | None = None
        self._users: list[Database] = []
        if key.in_one_session:
            event.listen(self.engine, "do_connect", self._join_session)

    def use(self, database: Database) -> None:
        """Belong to one more lease until it ends."""
        if database in self._users:
            return
        self._users.append(database)
        self._database = weakref.ref(database)
        database.at_leave(partial(self._leave, database))

    def close(self) -> None:
        """Close what is open, from wherever this is called."""
        if self.asynchronous is None:
            self._watched.close_forgotten()
            self.engine.dispose()
            return
        self._watched.close_opened()
        self.engine.dispose(close=False)

    def disown(self) -> None:
        """In a forked child: the connections stay the parent's."""
        self.engine.dispose(close=False)

    def _leave(self, database: Database) -> None:
        self._users.remove(database)
        if self._users:
            return
        if database.isolation in _SAME_NAME_AGAIN and self._key.driver != "asyncpg":
            # Idle connections stay; where they are of no use to the next lease, the next checkout replaces them.
            self._watched.close_forgotten()
        else:
            self.close()

    def _join_session(self, dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]) -> Any:
        """Connect as ``db.connect()`` does: all connections of a rollback test are one session."""
        del record, cargs
        database = self._database() if self._database is not None else None
        assert database is not None  # noqa: S101 (an engine is used inside a lease)
        return join_session(
            dialect, database, self._key.driver, cparams, asynchronous=self._key.is_async
        )


class Engines:
    """The engines of one keeper of leases."""

    def __init__(self) -> None:
        self._kept: dict[_Key, KeptEngine] = {}
        disown_in_children(self)

    def lend(
        self,
        database: Database,
        driver: str,
        settings: SessionSettings,
        *,
        asynchronous: bool = False,
        pooled: bool = True,
    ) -> KeptEngine:
        """Return the engine for a database, made now if there is none."""
        in_one_session = database.isolation == "rollback"
        key = _Key(database.conninfo, driver, asynchronous, in_one_session, settings, pooled)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = KeptEngine(key)
            if database.isolation == "server":
                # Its address never comes again.
                database.at_leave(lambda: self._kept.pop(key, None))
        kept.use(database)
        return kept

    def close(self) -> None:
        """Close all of them."""
        kept, self._kept = self._kept, {}
        for one in kept.values():
            one.close()

    def disown(self) -> None:
        """In a forked child: their connections stay the parent's."""
        kept, self._kept = self._kept, {}
        for one in kept.values():
            one.disown()


_ENGINES: weakref.WeakKeyDictionary[Keeper, Engines] = weakref.WeakKeyDictionary()


def _engines_of(owner: Keeper) -> Engines:
    engines = _ENGINES.get(owner)
    if engines is None:
        engines = _ENGINES[owner] = Engines()

        def close() -> None:
            _ENGINES.pop(owner, None)
            engines.close()

        owner.at_stop(close)
    return engines


def _options(key: _Key) -> dict[str, Any]:
    if not key.is_pooled and not key.in_one_session:
        return {"poolclass": NullPool}
    options: dict[str, Any] = {"pool_timeout": _POOL_PATIENCE}
    if key.in_one_session and key.driver == "asyncpg":
        # It cannot share its session between two connections.
        return options | {"pool_size": 1, "max_overflow": 0}
    if key.settings.pool_size is not None:
        options |= {"pool_size": key.settings.pool_size, "max_overflow": 0}
    return options
