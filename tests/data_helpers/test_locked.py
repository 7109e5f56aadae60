"""One row, held for a critical section."""

import threading

import psycopg
import pytest

from freshpg.errors import DataInvalid, LeaseClosed, TableUnknown, WaitTimedOut


@pytest.fixture
def node(data):
    data.insert("node", {"id": 1})


@pytest.mark.usefixtures("node")
class TestLocked:
    def test_the_row_is_yielded_and_nobody_else_gets_it(self, database):
        with database.locked("node", 1) as row, database.connect() as other:
            assert row == {"id": 1, "parent_id": None}
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT FROM node WHERE id = 1 FOR UPDATE NOWAIT")
        with database.connect() as other:
            other.execute("SELECT FROM node WHERE id = 1 FOR UPDATE NOWAIT")

    def test_a_second_one_waits_for_the_first(self, database):
        order = []

        def second():
            with database.locked("node", 1, deadline=20):
                order.append("second")

        with database.locked("node", 1):
            thread = threading.Thread(target=second)
            thread.start()
            order.append("first")
        thread.join()

        assert order == ["first", "second"]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE node SET parent_id = 1 WHERE id = 1",
            "SELECT FROM node WHERE id = 1 FOR SHARE",
            "LOCK TABLE node IN EXCLUSIVE MODE",
        ],
    )
    def test_a_holder_is_named_by_process_and_statement(self, database, statement):
        with database.connect(application_name="the holder") as holder:
            holder.execute(statement)
            with (
                pytest.raises(WaitTimedOut) as caught,
                database.locked("node", 1, deadline=0.05),
            ):
                pass
            pid = holder.info.backend_pid

        assert caught.value.pids == (pid,)
        assert f"held by pid {pid} (the holder), idle in transaction" in str(caught.value)
        assert statement in str(caught.value)

    def test_nothing_is_left_when_the_wait_is_over(self, database, fetch):
        with database.connect() as holder:
            holder.execute("UPDATE node SET parent_id = 1 WHERE id = 1")
            with pytest.raises(WaitTimedOut), database.locked("node", 1, deadline=0.01):
                pass
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'freshpg lock%%'"
            )
            assert fetch(f"{waiting} AND wait_event_type = 'Lock'") == [(0,)]

    def test_an_exception_gives_the_row_back(self, database, data):
        with pytest.raises(ZeroDivisionError), data.locked("node", 1):
            raise ZeroDivisionError
        with data.locked("node", 1, deadline=1):
            pass

    def test_keys_of_several_columns(self, data):
        data.insert("tenant", {"id": 1, "name": "a"})
        data.insert("project", {"tenant_id": 1, "id": 2})
        for key in ((1, 2), {"id": 2, "tenant_id": 1}):
            with data.locked("project", key) as row:
                assert row == {"tenant_id": 1, "id": 2}
        with pytest.raises(DataInvalid, match=r"its primary key is \(tenant_id, id\), 1 given"):
            data.locked("project", 1).__enter__()

    def test_what_is_not_there_is_said(self, data, database):
        with pytest.raises(DataInvalid, match="there is no such row"), data.locked("node", 9):
            pass
        with pytest.raises(TableUnknown), data.locked("nodes", 9):
            pass
        with pytest.raises(DataInvalid, match="it has no primary key"), data.locked("log", 9):
            pass
        database.close()
        with pytest.raises(LeaseClosed):
            database.locked("node", 1)
