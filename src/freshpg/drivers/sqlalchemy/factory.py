"""``TestSessionFactory``: sessions for tests and scripts, with automatic rollback and limits of their own."""

from __future__ import annotations

import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from freshpg.core.errors import UsageInvalid
from freshpg.drivers.sqlalchemy.choice import ASYNCHRONOUS, DEFAULT, SYNCHRONOUS
from freshpg.drivers.sqlalchemy.engines import async_engine, engine
from freshpg.drivers.sqlalchemy.settings import SessionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from freshpg.handle import Database

OnError = Literal["raise", "rollback"]


class TestSessionFactory:
    """Makes sessions on a leased database; what a session did not commit is rolled back when it is closed.

    ``with factory() as session`` and ``async with factory.asession() as session``. Sessions left open are closed with
    the lease.

    Args:
        database: The database, for as long as it is leased.
        driver: ``psycopg``, ``psycopg2``, ``pg8000`` or ``asyncpg``; for sessions of the kind that it cannot make,
            ``psycopg``.
        statement_timeout: Seconds that a statement may run; 0 is no limit, None what the server says.
        lock_timeout: Seconds that a statement may wait for a lock.
        idle_timeout: Seconds that a session may stay idle inside a transaction before the server ends it.
        pool_size: Connections that all its sessions together may have; one more waits for up to 10 s.
        on_error: What a failed statement does to its session. ``raise``: as SQLAlchemy has it, the transaction stays
            failed until it is rolled back. ``rollback``: the session is rolled back at once and can be used on. The
            error is raised in both cases.
        options: For ``Session`` and ``AsyncSession``: ``expire_on_commit=False``, …

    Raises:
        UsageInvalid: An argument is out of range.
        DriverUnusable: The driver cannot be used.
    """

    __test__: ClassVar[bool] = False  # its name begins like that of a test class

    def __init__(
        self,
        database: Database,
        *,
        driver: str = DEFAULT,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        idle_timeout: float | None = None,
        pool_size: int | None = None,
        on_error: OnError = "raise",
        **options: Any,
    ) -> None:
        self.settings = SessionSettings(statement_timeout, lock_timeout, idle_timeout, pool_size)
        _check(self.settings, on_error)
        self._database = database
        self._driver = driver
        self._on_error = on_error
        self._options = options
        self._open: weakref.WeakSet[Session] = weakref.WeakSet()
        database.at_leave(self.close)

    @property
    def engine(self) -> Engine:
        """The engine of its synchronous sessions."""
        driver = self._driver if self._driver in SYNCHRONOUS else _known(self._driver)
        return engine(self._database, driver=driver, settings=self.settings)

    @property
    def async_engine(self) -> AsyncEngine:
        """The engine of its asynchronous sessions."""
        driver = self._driver if self._driver in ASYNCHRONOUS else _known(self._driver)
        return async_engine(self._database, driver=driver, settings=self.settings)

    def __call__(self, **options: Any) -> Session:
        """Return a new session; a context manager that closes it. ``options`` go to ``Session``."""
        made = self._session_class(self.engine, **{**self._options, **options})
        self._open.add(made)
        return made

    def asession(self, **options: Any) -> AsyncSession:
        """Return a new asynchronous session; an asynchronous context manager that closes it."""
        from sqlalchemy.ext.asyncio import AsyncSession

        return AsyncSession(
            self.async_engine,
            sync_session_class=self._session_class,
            **{**self._options, **options},
        )

    def close(self) -> None:
        """Close the synchronous sessions that are still open, with a rollback; asynchronous ones close in their loop."""
        for session in tuple(self._open):
            with suppress(SQLAlchemyError):
                session.close()

    @property
    def _session_class(self) -> type[Session]:
        return RecoveringSession if self._on_error == "rollback" else Session


class RecoveringSession(Session):
    """A session that a failed statement rolls back at once."""

    def execute(self, *args: Any, **options: Any) -> Any:
        """Execute as a session does."""
        with self._recovering():
            return super().execute(*args, **options)

    def scalar(self, *args: Any, **options: Any) -> Any:
        """Execute and return a scalar as a session does."""
        with self._recovering():
            return super().scalar(*args, **options)

    def scalars(self, *args: Any, **options: Any) -> Any:
        """Execute and return scalars as a session does."""
        with self._recovering():
            return super().scalars(*args, **options)

    def get(self, *args: Any, **options: Any) -> Any:
        """Return an object by its key as a session does."""
        with self._recovering():
            return super().get(*args, **options)

    def refresh(self, *args: Any, **options: Any) -> None:
        """Read an object again as a session does."""
        with self._recovering():
            super().refresh(*args, **options)

    def flush(self, *args: Any, **options: Any) -> None:
        """Flush as a session does."""
        with self._recovering():
            super().flush(*args, **options)

    def commit(self) -> None:
        """Commit as a session does."""
        with self._recovering():
            super().commit()

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError:
            self.rollback()
            raise


def _check(settings: SessionSettings, on_error: str) -> None:
    given = {
        "statement_timeout": settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_timeout": settings.idle_timeout,
    }
    wrong = [
        f"{name}={value!r}" for name, value in given.items() if value is not None and value < 0
    ]
    if settings.pool_size is not None and settings.pool_size < 1:
        wrong.append(f"pool_size={settings.pool_size!r}")
    if on_error not in get_args(OnError):
        wrong.append(f"on_error={on_error!r}")
    if wrong:
        raise UsageInvalid(
            "a session factory was made",
            on="TestSessionFactory",
            seen=", ".join(wrong),
            todo=(
                "timeouts are seconds, 0 or more; pool_size is 1 or more",
                'on_error is "raise" or "rollback"',
            ),
        )


def _known(driver: str) -> str:
    """Return what stands in for a driver of the other kind; an unknown one is refused by its own name."""
    return DEFAULT if driver in {*SYNCHRONOUS, *ASYNCHRONOUS} else driver
