"""Level `rollback` the whole way: leases, what it costs the next test, and what it finds."""

import asyncio
import threading

import psycopg
import pytest

from freshpg.core.errors import (
    ConnectionNotAllowed,
    ConstraintBroken,
    LeaseClosed,
    RollbackCannot,
    UsageInvalid,
)
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

SCHEMA = """
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO customer (name) VALUES ('Ada');
"""
DEFERRED = """
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
"""


@pytest.fixture(scope="module")
def manager(ground, tmp_path_factory):
    """One server for all tests here."""
    root = tmp_path_factory.mktemp("rollback")
    (root / "schema.sql").write_text(SCHEMA + DEFERRED)
    databases = {"main": {"name": "shop_test", "migrations": ["schema.sql"]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRESHPG_RUNTIME", str(ground))
        patch.setenv("FRESHPG_CACHE", str(ground / "cache"))
        made = DatabaseManager(Settings(root=root, databases=databases, linger=0))
        made.start()
    yield made
    made.stop()


@pytest.fixture
def lease(manager):
    return lambda test="": manager.lease(isolation="rollback", test=test)


def names(connection):
    return [name for (name,) in connection.execute("SELECT name FROM customer ORDER BY id")]


def add(connection, name="Grace"):
    (row,) = connection.execute(
        "INSERT INTO customer (name) VALUES (%s) RETURNING id", (name,)
    ).fetchone()
    return row


def sessions_of(manager):
    (arena,) = manager._holding._arenas.values()
    return arena.level("rollback")._sessions


def test_what_one_lease_commits_the_next_does_not_see_on_the_same_session(lease, manager):
    pids, ids = set(), set()
    for _ in range(4):
        with lease() as database, database.connect() as connection:
            assert names(connection) == ["Ada"]
            ids.add(add(connection))
            connection.commit()
            pids.add(connection.info.backend_pid)
    assert len(pids) == 1
    assert ids == {2}


def test_a_lease_in_which_nothing_happens_keeps_database_and_session(lease, manager):
    with lease() as database:
        name = database.name
        session = sessions_of(manager)[name]
    for _ in range(3):
        with lease() as database:
            assert database.name == name
    assert sessions_of(manager)[name] is session


def test_all_connections_can_be_closed_and_new_ones_go_on(lease):
    with lease() as database:
        first = database.connect()
        add(first)
        first.commit()
        add(first, "lost")
        database.close_connections()
        assert first.closed
        with database.connect() as second:
            assert names(second) == ["Ada", "Grace"]


def test_two_leases_at_once_are_two_databases(lease):
    with lease() as one, lease() as two:
        assert one.name != two.name
        with one.connect() as connection:
            add(connection)
        with two.connect() as connection:
            assert names(connection) == ["Ada"]


def test_an_escaped_commit_is_found_told_and_undone(lease, manager):
    with lease() as database:
        with psycopg.connect(database.url) as other:
            add(other, "escaped")
        name, grant = database.name, manager._grants[database]
        residue = grant.level.leave(name)
        assert residue
        assert "other session" in residue.doubt or residue.tables
        assert [table.table for table in residue.tables] == ["public.customer"] or residue.replaced
        grant.level.enter()
    for _ in range(2):
        with lease() as database, database.connect() as connection:
            assert names(connection) == ["Ada"]
            assert add(connection) == 2


def test_a_session_that_stays_open_keeps_the_proof_from_being_cheap_but_not_from_being_right(lease):
    with lease() as database:
        lingering = psycopg.connect(database.url, autocommit=True)
        add(lingering, "escaped")
    for _ in range(2):
        with lease() as database, database.connect() as connection:
            assert names(connection) == ["Ada"]
            add(lingering, "escaped again")
            assert names(connection) == ["Ada", "escaped again"]
    lingering.close()


def test_a_terminated_session_is_replaced_for_the_next_test(lease, manager):
    with lease() as database, database.connect() as connection:
        pid = connection.info.backend_pid
        with psycopg.connect(database.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with lease() as database, database.connect() as connection:
        assert names(connection) == ["Ada"]
        assert connection.info.backend_pid != pid


def test_a_session_cut_between_two_tests_is_no_trouble(lease, manager):
    with lease() as database, database.connect() as connection:
        pid, url = connection.info.backend_pid, database.url
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        add(other, "between")
    with lease() as database, database.connect() as connection:
        assert names(connection) == ["Ada"]


def test_a_deferred_constraint_fails_the_lease_and_leaves_the_database_clean(manager):
    with (
        pytest.raises(ConstraintBroken, match="child_parent_fkey"),
        manager.lease(isolation="rollback") as database,
    ):
        database.connect().execute("INSERT INTO child VALUES (1, 5)")
    with manager.lease(isolation="rollback") as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM child").fetchone() == (0,)


def test_reset_in_the_middle_undoes_everything_so_far(lease):
    with lease() as database:
        connection = database.connect(prepare_threshold=0)
        for _ in range(2):
            assert add(connection) == 2
            connection.commit()
            assert database.reset().audited
            assert names(connection) == ["Ada"]
    with pytest.raises(LeaseClosed):
        connection.execute("SELECT 1")


def test_a_kept_database_has_what_the_test_did(lease, manager):
    with lease("tests/test_it.py::test_it") as database:
        with database.connect() as connection:
            add(connection)
            connection.commit()
            add(connection, "uncommitted, and of interest too")
        kept = database.keep("to look at")
        address = database.conninfo.with_(dbname=kept)
    with psycopg.connect(**address.keywords()) as connection:
        assert "Grace" in names(connection)
    with lease() as database, database.connect() as connection:
        assert names(connection) == ["Ada"]


def test_level_and_connections_of_other_levels_do_not_mix(lease, manager):
    for level in ("rollback", "reset", "rollback", "clone"):
        with manager.lease(isolation=level) as database, database.connect() as connection:
            assert names(connection) == ["Ada"]
            assert add(connection) == 2
            connection.commit()


def test_threads_take_part_when_they_are_allowed(lease):
    with lease() as database:
        found = []

        def work():
            with database.connect(autocommit=True) as connection:
                found.append(names(connection))

        def stranger():
            try:
                work()
            except ConnectionNotAllowed as error:
                found.append(error.code)

        for target in (stranger, database.allow(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join(10)
        thread = database.allow(threading.Thread(target=work))
        thread.start()
        thread.join(10)
        database.ownership = "shared"
        assert database.ownership == "shared"
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
        assert found[1:] == [["Ada"]] * 3
        assert found[0] in ("FPG-B04", ["Ada"])


def test_eight_threads_commit_one_after_the_other(lease):
    with lease() as database:

        def work(number):
            with database.connect() as connection:
                add(connection, f"n{number}")
                add(connection, f"m{number}")
                if number % 2:
                    connection.rollback()

        threads = [threading.Thread(target=database.allow(work), args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        with database.connect() as connection:
            found = names(connection)
        assert sorted(found) == sorted(["Ada", *(f"{x}{n}" for n in range(0, 8, 2) for x in "nm")])


def test_the_asynchronous_connection_is_the_same_session(lease):
    async def use(database):
        async with await database.aconnect() as connection:
            await connection.execute("INSERT INTO customer (name) VALUES ('one')")
            await connection.commit()
            with pytest.raises(psycopg.errors.UniqueViolation):
                await connection.execute("INSERT INTO customer (name) VALUES ('one')")
            await connection.rollback()
            async with (
                connection.transaction(),
                connection.cursor().copy("COPY customer (name) FROM STDIN") as copy,
            ):
                await copy.write_row(("two",))
            cursor = psycopg.AsyncClientCursor(connection)
            await cursor.execute("COMMIT")
            async with connection.pipeline():
                await connection.execute("SELECT 1")
            async with connection.cursor("held") as served:
                await served.execute("SELECT name FROM customer ORDER BY id")
                assert [row async for row in served] == [("Ada",), ("one",), ("two",)]
            with pytest.raises(RollbackCannot):
                await connection.tpc_begin("x")
            await connection.rollback()
            await asyncio.gather(*(several(database, n) for n in range(6)))

    async def several(database, number):
        async with await database.aconnect() as connection, connection.transaction():
            await connection.execute("INSERT INTO customer (name) VALUES (%s)", (f"t{number}",))
            await asyncio.sleep(0)
            if number % 2:
                raise psycopg.Rollback

    for _ in range(2):
        with lease() as database:
            asyncio.run(use(database))
            with database.connect() as connection:
                assert names(connection)[:3] == ["Ada", "one", "two"]
                assert sorted(names(connection)[3:]) == ["t0", "t2", "t4"]


def test_a_statement_that_runs_when_the_test_ends_is_cancelled(lease):
    ended = []

    def sleep(connection):
        try:
            connection.execute("SELECT pg_sleep(60)")
        except psycopg.Error as error:
            ended.append(type(error).__name__)

    with lease() as database:
        connection = database.connect()
        pid = connection.info.backend_pid
        thread = threading.Thread(target=database.allow(sleep), args=(connection,))
        thread.start()
        with psycopg.connect(database.url, autocommit=True) as watcher:
            while watcher.execute(
                "SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,)
            ).fetchone() != ("active",):
                thread.join(0.001)
    thread.join(20)
    assert ended in (["QueryCanceled"], ["OperationalError"])
    with lease() as database, database.connect() as connection:
        assert names(connection) == ["Ada"]


def test_callbacks_run_before_the_database_is_taken_back_the_last_first(lease):
    order = []
    with lease() as database:
        connection = database.connect()
        database.at_leave(lambda: order.append(names(connection)))
        database.at_leave(lambda: order.append("last named"))
    assert order == ["last named", ["Ada"]]


@pytest.mark.parametrize("isolation", ["rollback", "reset"])
def test_what_callbacks_raise_is_raised_when_the_database_is_back(manager, isolation):
    def fail(text):
        raise ValueError(text)

    with pytest.raises(ValueError, match="one"), manager.lease(isolation=isolation) as database:
        database.at_leave(lambda: fail("one"))
    database = manager.acquire(isolation=isolation)
    database.at_leave(lambda: fail("one"))
    database.at_leave(lambda: fail("two"))
    with pytest.raises(ExceptionGroup) as told:
        manager.release(database)
    assert [str(error) for error in told.value.exceptions] == ["two", "one"]
    with manager.lease(isolation=isolation) as database, database.connect() as connection:
        assert names(connection) == ["Ada"]


def test_ownership_is_of_rollback_alone(manager):
    with manager.lease(isolation="reset") as database:
        with pytest.raises(UsageInvalid, match="rollback"):
            database.allow(threading.current_thread())
        with pytest.raises(UsageInvalid):
            database.ownership = "shared"
