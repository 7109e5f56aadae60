"""What goes wrong without a test runner of ours is in the project's log of errors as well."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import psycopg
import pytest

import freshpg
from freshpg import aio
from freshpg.core.errors import BlueprintInvalid, FreshpgError, MigrationFailed, ServerDied


@pytest.fixture
def noted(project):
    def read():
        log = project / ".freshpg" / "log" / "errors.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    return read


def test_a_failure_of_the_code_under_test_is_written_down_as_yours(manager, noted):
    with pytest.raises(psycopg.errors.UniqueViolation), manager.lease(test="cart") as database:
        database.connect().execute("INSERT INTO customer (name) VALUES ('Ada')")
    (line,) = noted()
    assert (line["kind"], line["code"], line["test"]) == ("yours", "SQL-23505", "cart")


def test_what_says_nothing_of_databases_is_left_out(manager, noted):
    with pytest.raises(ZeroDivisionError), manager.lease() as database:
        database.connect().execute(f"SELECT {1 // 0}")
    assert noted() == []


def test_the_loss_of_a_server_is_written_down_once_with_what_was_done_about_it(manager, noted):
    with pytest.raises(ServerDied), manager.lease():  # noqa: PT012 (as users write it)
        process = manager._holding.process
        os.kill(manager._holding.running.handle.pid, signal.SIGKILL)
        assert process.ends_within(30)
    with manager.lease():
        pass
    kinds = [line["kind"] for line in noted()]
    assert sorted(kinds) == ["ChildCrashed", "ChildRestarted", "infrastructure"]


def test_an_awaited_lease_writes_it_down_too(manager, noted):
    async def run():
        async with aio.lease(manager, test="async cart") as database:
            database.connect().execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        asyncio.run(run())
    assert [line["code"] for line in noted()] == ["SQL-22012"]


@pytest.mark.slow
def test_what_a_script_met_is_written_down(project, noted, monkeypatch):
    monkeypatch.chdir(project)
    (project / "freshpg.toml").write_text("linger = 0\n")
    with (
        pytest.raises(psycopg.errors.DivisionByZero),
        freshpg.database("schema.sql", name="shop_test") as database,
    ):
        database.connect().execute("SELECT 1 / 0")
    assert [line["kind"] for line in noted()] == ["yours"]


@pytest.mark.slow
def test_a_migration_that_fails_in_a_script_is_written_down_once(project, noted, monkeypatch):
    monkeypatch.chdir(project)
    (project / "freshpg.toml").write_text("linger = 0\n")
    (project / "broken.sql").write_text("CREATE TABLE a (id int);\nSELECT nothing;\n")
    with pytest.raises(MigrationFailed), freshpg.database("broken.sql"):
        pass
    (line,) = noted()
    assert (line["kind"], line["code"]) == ("yours", MigrationFailed.code)
    assert "nothing" in line["seen"]


def test_a_wrong_argument_leaves_no_log(manager, noted, project):
    with pytest.raises(BlueprintInvalid), manager.lease("nobody"):
        pass
    assert not (project / ".freshpg" / "log").exists()


def test_a_log_that_cannot_be_written_hides_no_error(manager, project):
    (project / ".freshpg").write_text("in the way")
    with pytest.raises(psycopg.errors.DivisionByZero) as caught, manager.lease() as database:
        database.connect().execute("SELECT 1 / 0")
    assert not isinstance(caught.value, FreshpgError)
    assert manager.log.problem
