"""Every driver behind one face: read, write, commit, give back."""

import asyncio

import pytest

from freshpg.drivers import asyncpg as our_asyncpg
from freshpg.drivers import psycopg as our_psycopg
from freshpg.drivers import sqlalchemy as our_sqlalchemy

READ = "SELECT name FROM item ORDER BY id"
WRITE = "INSERT INTO item (name) VALUES ('{}')"


class Client:
    """One driver's connection, pool or session on a database; ``async`` ones in a loop of their own."""

    asynchronous = False

    def __init__(self, database):
        self.database = database
        self._runner = asyncio.Runner() if self.asynchronous else None
        try:
            self._do(self.open())
        except BaseException:
            self.end_loop()
            raise

    def names(self):
        return [row[0] for row in self._do(self.run(READ))]

    def write(self, name):
        """Write and commit."""
        self._do(self.run(WRITE.format(name), commit=True))

    def write_only(self, name):
        """Write, and read in the same transaction; do not commit."""
        return [row[0] for row in self._do(self.run(WRITE.format(name), READ))]

    def give_back(self):
        self._do(self.close())
        self.end_loop()

    def end_loop(self):
        """End the loop, and give nothing back."""
        if self._runner is not None:
            self._runner.close()

    def _do(self, work):
        if self._runner is not None:
            return self._runner.run(work)
        return work


class Psycopg(Client):
    def open(self):
        self.connection = self.database.connect()

    def run(self, *statements, commit=False):
        rows = None
        try:
            for statement in statements:
                cursor = self.connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else None
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit() if commit else self.connection.rollback()
        return rows

    def close(self):
        self.connection.close()


class AsyncPsycopg(Client):
    asynchronous = True

    async def open(self):
        self.connection = await self.database.aconnect()

    async def run(self, *statements, commit=False):
        rows = None
        try:
            for statement in statements:
                cursor = await self.connection.execute(statement)
                rows = await cursor.fetchall() if cursor.description else None
        except BaseException:
            await self.connection.rollback()
            raise
        await (self.connection.commit() if commit else self.connection.rollback())
        return rows

    async def close(self):
        await self.connection.close()


class PsycopgPool(Psycopg):
    def open(self):
        self.pool = our_psycopg.pool(self.database)

    def run(self, *statements, commit=False):
        with self.pool.connection() as self.connection:
            return super().run(*statements, commit=commit)

    def close(self):
        self.pool.close()


class AsyncPsycopgPool(AsyncPsycopg):
    async def open(self):
        self.pool = await our_psycopg.apool(self.database)

    async def run(self, *statements, commit=False):
        async with self.pool.connection() as self.connection:
            return await super().run(*statements, commit=commit)

    async def close(self):
        await self.pool.close()


class Asyncpg(Client):
    asynchronous = True

    async def open(self):
        self.connection = await our_asyncpg.connect(self.database)

    async def run(self, *statements, commit=False):
        block = self.connection.transaction()
        await block.start()
        rows = None
        try:
            for statement in statements:
                rows = await self.connection.fetch(statement)
        except BaseException:
            await block.rollback()
            raise
        await (block.commit() if commit else block.rollback())
        return rows

    async def close(self):
        await self.connection.close()


class AsyncpgPool(Asyncpg):
    async def open(self):
        self.pool = await our_asyncpg.pool(self.database)

    async def run(self, *statements, commit=False):
        async with self.pool.acquire() as self.connection:
            return await super().run(*statements, commit=commit)

    async def close(self):
        await self.pool.close()


class Sqlalchemy(Client):
    driver = "psycopg"

    def open(self):
        self.engine = our_sqlalchemy.engine(self.database, driver=self.driver)

    def run(self, *statements, commit=False):
        with self.engine.connect() as connection:
            rows = None
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = result.fetchall() if result.returns_rows else None
            if commit:
                connection.commit()
            return rows

    def close(self):
        self.engine.dispose()


class SqlalchemyPsycopg2(Sqlalchemy):
    driver = "psycopg2"


class SqlalchemyPg8000(Sqlalchemy):
    driver = "pg8000"


class AsyncSqlalchemy(Client):
    asynchronous = True
    driver = "psycopg"

    async def open(self):
        self.engine = our_sqlalchemy.async_engine(self.database, driver=self.driver)

    async def run(self, *statements, commit=False):
        async with self.engine.connect() as connection:
            rows = None
            for statement in statements:
                result = await connection.exec_driver_sql(statement)
                rows = result.fetchall() if result.returns_rows else None
            if commit:
                await connection.commit()
            return rows

    async def close(self):
        await self.engine.dispose()


class AsyncSqlalchemyAsyncpg(AsyncSqlalchemy):
    driver = "asyncpg"


class Psycopg2(Psycopg):
    """psycopg2 by itself, which gets nothing but the URL."""

    def open(self):
        import psycopg2

        self.connection = psycopg2.connect(self.database.url)

    def run(self, *statements, commit=False):
        rows = None
        try:
            with self.connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                    rows = cursor.fetchall() if cursor.description else None
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit() if commit else self.connection.rollback()
        return rows


class Pg8000(Psycopg2):
    """pg8000 by itself, which gets the parts of the address."""

    def open(self):
        import pg8000.dbapi

        address = self.database.conninfo
        self.connection = pg8000.dbapi.connect(
            user=address.user,
            database=address.dbname,
            unix_sock=f"{address.host}/.s.PGSQL.{address.port}",
        )

    def run(self, *statements, commit=False):
        cursor = self.connection.cursor()
        rows = None
        try:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else None
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit() if commit else self.connection.rollback()
        return rows


OF_OURS = (
    Psycopg,
    AsyncPsycopg,
    PsycopgPool,
    AsyncPsycopgPool,
    Asyncpg,
    AsyncpgPool,
    Sqlalchemy,
    SqlalchemyPsycopg2,
    SqlalchemyPg8000,
    AsyncSqlalchemy,
    AsyncSqlalchemyAsyncpg,
)
BY_ADDRESS = (Psycopg2, Pg8000)
QUICK = (Psycopg, Asyncpg, Sqlalchemy)
"""With these every level is tried each time; a clone is dear to make."""

SLOW = (SqlalchemyPg8000, Pg8000)
"""Connecting alone takes them a good while."""

REFUSED_AT_ROLLBACK = (
    PsycopgPool,
    AsyncPsycopgPool,
    AsyncpgPool,
    SqlalchemyPsycopg2,
    SqlalchemyPg8000,
)
"""What opens sessions of its own; asyncpg's one connection is such a session too, with an outer transaction."""


def everything(*levels, kinds=(*OF_OURS, *BY_ADDRESS)):
    """Yield parameters (level, client) for all that is offered at these levels; the dear ones are slow."""
    for level in levels:
        for kind in kinds:
            if level == "rollback" and kind in (*REFUSED_AT_ROLLBACK, *BY_ADDRESS):
                continue
            dear = level == "server" or (level == "clone" and kind not in QUICK) or kind in SLOW
            yield pytest.param(
                level, kind, id=f"{kind.__name__}-{level}", marks=[pytest.mark.slow] * dear
            )
