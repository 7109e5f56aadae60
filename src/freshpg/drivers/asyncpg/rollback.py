"""An asyncpg connection for isolation ``rollback``: for the test nothing is different, but nothing is committed.

The outer transaction is one of asyncpg's own, so that ``connection.transaction()`` makes savepoints. A statement
outside of such a block would be a transaction of its own: it is put between savepoints, and an error undoes it alone.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from freshpg.core.errors import RollbackCannot
from freshpg.drivers.refusals import OTHER_LEVEL
from freshpg.isolation.rollback.statements import control_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SAVEPOINT = "freshpg_statement"
_BLOCK = "freshpg_block"
_CHECK = (
    "SAVEPOINT freshpg_check; SET CONSTRAINTS ALL IMMEDIATE; "
    "ROLLBACK TO SAVEPOINT freshpg_check; RELEASE SAVEPOINT freshpg_check; "
)
_OF_ASYNCPG = re.compile(
    r"(?P<verb>SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO) (?P<name>__asyncpg_savepoint_\w+__);"
)


class RollbackConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """One session inside an outer transaction that ends with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._block = ""
        self._is_guarded = True
        self._outer: Any = None

    async def begin_outer(self) -> None:
        """Begin what will never be committed."""
        # asyncpg refuses blocks of another isolation than the outer one's: it must be known to it.
        self._outer = super().transaction(isolation="read_committed")
        await self._outer.start()
        self._is_guarded = False

    def is_in_transaction(self) -> bool:
        """Whether the test is inside a transaction of its own."""
        return bool(self._block)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 (asyncpg's)
        """Execute as asyncpg does; what begins or ends a transaction is turned into savepoints."""
        if not args and not self._is_guarded:
            if own := _OF_ASYNCPG.fullmatch(query):
                return await self._run_own(query, own["verb"], own["name"])
            control = control_in(query.encode())
            if control is not None and control.kind in {"begin", "commit", "rollback"}:
                return await self._turned(control.kind, query)
            if control is not None and control.kind in {"two-phase", "mixed"}:
                raise _cannot(query)
        async with self.guarded():
            return str(await super().execute(query, *args, timeout=timeout))

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[None]:
        """Let an error inside undo this one statement alone, as it would outside of transactions."""
        if self._block or self._is_guarded:
            yield
            return
        self._is_guarded = True
        try:
            await super().execute(f"SAVEPOINT {_SAVEPOINT}")
            try:
                yield
            except BaseException as error:
                await super().execute(
                    f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}"
                )
                if isinstance(error, asyncpg.ActiveSQLTransactionError):
                    raise _cannot(str(error)) from error
                raise
            await self._check_and(_SAVEPOINT)
        finally:
            self._is_guarded = False

    async def prepare(self, *args: Any, **options: Any) -> Any:
        """Prepare as asyncpg does."""
        async with self.guarded():
            statement = await super().prepare(*args, **options)
        statement.__class__ = _GuardedStatement
        return statement

    async def copy_records_to_table(self, *args: Any, **options: Any) -> Any:
        """Copy as asyncpg does."""
        async with self.guarded():
            return await super().copy_records_to_table(*args, **options)

    async def add_listener(self, channel: str, callback: Any) -> None:
        """Refuse: a notification comes with a commit, and nothing is committed.

        Raises:
            RollbackCannot: Always.
        """
        del callback
        raise _cannot(f"LISTEN {channel}")

    async def _execute(self, *args: Any, **options: Any) -> Any:
        async with self.guarded():
            return await super()._execute(*args, **options)

    async def _executemany(self, *args: Any, **options: Any) -> Any:
        async with self.guarded():
            return await super()._executemany(*args, **options)

    async def _copy_in(self, *args: Any, **options: Any) -> Any:
        async with self.guarded():
            return await super()._copy_in(*args, **options)

    async def _copy_out(self, *args: Any, **options: Any) -> Any:
        async with self.guarded():
            return await super()._copy_out(*args, **options)

    async def _run_own(self, query: str, verb: str, name: str) -> str:
        """Run what asyncpg does for a block, and note the outermost one: it is the test's transaction."""
        if verb == "SAVEPOINT":
            answer: str = await super().execute(query)
            self._block = self._block or name
            return answer
        if name != self._block:
            return str(await super().execute(query))
        if verb == "RELEASE SAVEPOINT":
            await self._commit(name)
            return "RELEASE"
        self._block = ""
        return str(await super().execute(f"{query} RELEASE SAVEPOINT {name}"))

    async def _turned(self, kind: str, query: str) -> str:
        if kind == "begin":
            if not self._block:
                await super().execute(f"SAVEPOINT {_BLOCK}")
                self._block = _BLOCK
            return "BEGIN"
        if self._block and self._block != _BLOCK:
            raise _cannot(query)
        if self._block and kind == "commit":
            return "COMMIT" if await self._commit(_BLOCK) else "ROLLBACK"
        if self._block:
            self._block = ""
            await super().execute(f"ROLLBACK TO SAVEPOINT {_BLOCK}; RELEASE SAVEPOINT {_BLOCK}")
        return kind.upper()

    async def _commit(self, name: str) -> bool:
        """Release a savepoint after what a commit checks; return whether it was, as an aborted one is rolled back."""
        self._block = ""
        try:
            await self._check_and(name)
        except asyncpg.InFailedSQLTransactionError:
            return False
        return True

    async def _check_and(self, name: str) -> None:
        """Check deferred constraints, then release; undo all since the savepoint where one does not hold."""
        try:
            await super().execute(f"{_CHECK}RELEASE SAVEPOINT {name}")
        except BaseException:
            await super().execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
            raise


class _GuardedStatement(PreparedStatement):  # type: ignore[misc]  # asyncpg ships no types
    """A prepared statement whose error undoes it alone."""

    __slots__ = ()

    async def explain(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().explain(*args, **options)

    async def fetch(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().fetch(*args, **options)

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().fetchval(*args, **options)

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().fetchrow(*args, **options)

    async def fetchmany(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().fetchmany(*args, **options)

    async def executemany(self, *args: Any, **options: Any) -> Any:
        async with self._connection.guarded():
            return await super().executemany(*args, **options)


def _cannot(seen: str) -> RollbackCannot:
    return RollbackCannot(
        "a statement cannot run inside a transaction, and this test is inside one",
        on="a connection of asyncpg",
        seen=seen,
        todo=(OTHER_LEVEL,),
    )
