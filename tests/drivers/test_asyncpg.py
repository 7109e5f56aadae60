"""asyncpg at isolation ``rollback``: as elsewhere, but nothing is committed."""

import asyncio

import asyncpg
import pytest

from freshpg.core.errors import RollbackCannot
from freshpg.drivers.asyncpg import connect

COUNT = "SELECT count(*) FROM item"
INSERT = "INSERT INTO item (name) VALUES ($1)"


@pytest.fixture
def play(manager):
    """Run a scene with a connection, at a level."""

    def run(scene, level="rollback"):
        async def main(database):
            connection = await connect(database)
            try:
                return await scene(connection)
            finally:
                await connection.close()

        with manager.lease(isolation=level) as database:
            return asyncio.run(main(database))

    return run


LEVELS = pytest.mark.parametrize("level", ["rollback", "reset"])


@LEVELS
def test_an_error_outside_of_blocks_undoes_its_own_statement_alone(play, level):
    async def scene(connection):
        await connection.execute(INSERT, "one")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(INSERT, "one")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.executemany(INSERT, [("two",), ("one",)])
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / 0")
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.prepare("SELECT * FROM no_such")
        statement = await connection.prepare(INSERT)
        for ask in (statement.fetch, statement.fetchval, statement.fetchrow):
            with pytest.raises(asyncpg.UniqueViolationError):
                await ask("one")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.copy_records_to_table("item", records=[("one",)], columns=["name"])
        assert not connection.is_in_transaction()
        assert await connection.fetchval(COUNT) == 2

    play(scene, level)


async def in_block(connection, *names):
    async with connection.transaction():
        for name in names:
            await connection.execute(INSERT, name)


@LEVELS
def test_blocks_commit_roll_back_and_nest(play, level):
    async def scene(connection):
        async with connection.transaction():
            assert connection.is_in_transaction()
            await connection.execute(INSERT, "one")
            with pytest.raises(asyncpg.UniqueViolationError):
                await in_block(connection, "two", "one")
        with pytest.raises(asyncpg.UniqueViolationError):
            await in_block(connection, "three", "one")
        block = connection.transaction()
        await block.start()
        await connection.execute("DELETE FROM item")
        await block.rollback()
        return [row["name"] for row in await connection.fetch("SELECT name FROM item ORDER BY id")]

    assert play(scene, level) == ["seeded", "one"]


@LEVELS
def test_transactions_by_statement_work(play, level):
    async def scene(connection):
        assert await connection.execute("BEGIN") == "BEGIN"
        await connection.execute(INSERT, "one")
        assert connection.is_in_transaction()
        assert await connection.execute("COMMIT") == "COMMIT"
        await connection.execute("begin")
        await connection.execute("DELETE FROM item")
        assert await connection.execute("ROLLBACK") == "ROLLBACK"
        await connection.execute("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.fetchval(COUNT)
        assert await connection.execute("COMMIT") == "ROLLBACK"
        return await connection.fetchval(COUNT)

    assert play(scene, level) == 2


@LEVELS
def test_deferred_constraints_are_checked_at_commit(play, level):
    broken = "INSERT INTO part (id, item) VALUES (1, 999)"

    async def scene(connection):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.execute(broken)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            async with connection.transaction():
                await connection.execute(broken)
        async with connection.transaction():
            await connection.execute(broken)
            await connection.execute("DELETE FROM part")
        return await connection.fetchval("SELECT count(*) FROM part")

    assert play(scene, level) == 0


@pytest.mark.parametrize("statement", ["VACUUM item", "PREPARE TRANSACTION 'x'", "BEGIN; COMMIT"])
def test_what_cannot_be_undone_is_refused(play, statement):
    async def scene(connection):
        with pytest.raises(RollbackCannot, match="isolation 'reset'"):
            await connection.execute(statement)
        with pytest.raises(RollbackCannot):
            await connection.add_listener("news", print)
        return await connection.fetchval(COUNT)

    assert play(scene) == 1


@pytest.mark.parametrize("level", ["rollback", "reset", "clone"])
def test_a_connection_left_open_in_a_running_loop_ends_with_the_lease(manager, level):
    async def main():
        with manager.lease(isolation=level) as database:
            connection = await connect(database)
            await connection.execute(INSERT, "mine")
        # The lease ended inside this loop: nobody could wait for a farewell.
        assert connection.is_closed()
        await asyncio.sleep(0)

    asyncio.run(main())
