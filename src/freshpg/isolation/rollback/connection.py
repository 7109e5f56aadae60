"""The psycopg connections that a rollback test gets, for which nothing but the outermost end is different."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from freshpg.isolation.rollback.blocks import (
    AsyncBlock,
    AsyncShortPipeline,
    Block,
    ShortPipeline,
)
from freshpg.isolation.rollback.cursors import adopt, adopt_its_cursor
from freshpg.isolation.rollback.shared import Shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg import AsyncPipeline, AsyncTransaction, Pipeline, Transaction
    from psycopg.abc import PQGen


class RollbackConnection(Shared, psycopg.Connection[Any]):
    """A psycopg connection whose commits are undone when the test ends."""

    def close(self) -> None:
        """Close this connection; what was not committed is lost."""
        self.finish()

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Return a cursor as psycopg does."""
        return adopt(super().cursor(*args, **options))

    def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Consume a generator as psycopg does."""
        adopt_its_cursor(gen)
        return super().wait(gen, *args, **options)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[Transaction]:
        """Open a transaction block, nested or not, as psycopg does."""
        block = Block(self, savepoint_name, force_rollback)
        if self._pipeline:
            with self.pipeline(), block, self.pipeline():
                yield block
        else:
            with block:
                yield block

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """Enter pipeline mode as psycopg does."""
        with self.lock:
            self._check_connection_ok()
            if self._pipeline is None:
                self._pipeline = ShortPipeline(self)
            pipeline = self._pipeline
        try:
            with pipeline:
                yield pipeline
        finally:
            if pipeline.level == 0:
                self._pipeline = None

    @contextmanager
    def _pipeline_nolock(self) -> Iterator[Pipeline]:
        pipeline = self._pipeline = ShortPipeline(self, _no_lock=True)
        try:
            with pipeline:
                yield pipeline
        finally:
            self._pipeline = None

    def notifies(self, **options: Any) -> Any:
        """Refuse: a notification comes with a commit, and nothing is committed.

        Raises:
            RollbackCannot: Always.
        """
        del options
        self.refuse_notifies()


class AsyncRollbackConnection(Shared, psycopg.AsyncConnection[Any]):
    """An asynchronous psycopg connection whose commits are undone when the test ends."""

    async def close(self) -> None:
        """Close this connection; what was not committed is lost."""
        self.finish()

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Return a cursor as psycopg does."""
        return adopt(super().cursor(*args, **options))

    async def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Consume a generator as psycopg does."""
        adopt_its_cursor(gen)
        return await super().wait(gen, *args, **options)

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        """Open a transaction block, nested or not, as psycopg does."""
        block = AsyncBlock(self, savepoint_name, force_rollback)
        if self._pipeline:
            async with self.pipeline(), block, self.pipeline():
                yield block
        else:
            async with block:
                yield block

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """Enter pipeline mode as psycopg does."""
        async with self.lock:
            self._check_connection_ok()
            if self._pipeline is None:
                self._pipeline = AsyncShortPipeline(self)
            pipeline = self._pipeline
        try:
            async with pipeline:
                yield pipeline
        finally:
            if pipeline.level == 0:
                self._pipeline = None

    @asynccontextmanager
    async def _pipeline_nolock(self) -> AsyncIterator[AsyncPipeline]:
        pipeline = self._pipeline = AsyncShortPipeline(self, _no_lock=True)
        try:
            async with pipeline:
                yield pipeline
        finally:
            self._pipeline = None

    def notifies(self, **options: Any) -> Any:
        """Refuse: a notification comes with a commit, and nothing is committed.

        Raises:
            RollbackCannot: Always.
        """
        del options
        self.refuse_notifies()
