"""Migrations that hang, exit, cut the branch they sit on, or leave things open; and those that only look odd."""

from __future__ import annotations

import psycopg
import pytest

from freshpg.core import errors
from freshpg.manager import DatabaseManager
from freshpg.templates.blueprint import Blueprint

LEVELS = ("reset", "clone", "readonly", "server")


@pytest.fixture
def build(make_manager, project):
    """Build a template of one step; return a manager and what it said when it failed."""

    def build(step, *, deadline=20.0, **settings):
        manager = make_manager(
            blueprints=[Blueprint("main", "shop_test", [step], deadline=deadline, root=project)],
            **settings,
        )
        with manager.lease("main") as database:
            return database.name

    return build


@pytest.fixture
def script(project):
    """Write an SQL file and return the step that runs it."""

    def write(text):
        (project / "odd.sql").write_text(text)
        return "odd.sql"

    return write


@pytest.fixture
def assert_next_run_works(make_manager):
    """Return a check that another manager of the project hands out its database."""

    def check():
        _use(make_manager())

    return check


def _use(manager):
    with manager.lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)


FAILING = {
    "hangs": ("CREATE TABLE a ();\nSELECT pg_sleep(1e6);", errors.MigrationTimedOut, "odd.sql:2"),
    "ends its own session": (
        "CREATE TABLE a ();\nSELECT pg_terminate_backend(pg_backend_pid());",
        errors.FreshpgError,
        "",
    ),
    "drops its database": (
        "CREATE TABLE a ();\nDO $$ BEGIN EXECUTE 'DROP DATABASE ' || quote_ident(current_database()); END $$;",
        errors.MigrationFailed,
        "odd.sql:2",
    ),
    "waits for a lock it holds itself": (
        "BEGIN; LOCK TABLE pg_description; SELECT pg_sleep(1e6);",
        errors.TemplateError,
        "odd.sql",
    ),
    "leaves its transaction open": (
        "BEGIN;\nCREATE TABLE a ();",
        errors.MigrationFailed,
        "odd.sql",
    ),
    "creates a role": ("CREATE ROLE somebody", errors.MigrationFailed, "42501"),
    "takes our mark off and fails": (
        "DO $$ BEGIN EXECUTE 'COMMENT ON DATABASE ' || quote_ident(current_database()) || ' IS NULL'; END $$;\nSELEC 1;",
        errors.MigrationFailed,
        "odd.sql:2",
    ),
    "uses a type value before it is committed": (
        "CREATE TYPE mood AS ENUM ('sad');\nBEGIN;\nALTER TYPE mood ADD VALUE 'ok';\nSELECT 'ok'::mood;\nCOMMIT;",
        errors.MigrationFailed,
        "55P04",
    ),
    "changes the server": ("ALTER SYSTEM SET work_mem = '1GB'", errors.MigrationFailed, "42501"),
    "reads files of the server": (
        "CREATE TABLE a (b text); COPY a FROM '/etc/passwd';",
        errors.MigrationFailed,
        "42501",
    ),
}


@pytest.mark.parametrize("text, error, said", FAILING.values(), ids=FAILING.keys())
def test_a_script_that_cannot_work_is_told_and_leaves_nothing(  # noqa: PLR0917 (three of them are one case)
    build, script, assert_next_run_works, text, error, said
):
    with pytest.raises(error) as caught:
        build(script(text), deadline=1.0)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) < 25
    assert_next_run_works()


@pytest.mark.parametrize(
    "body, error, said",
    [
        pytest.param("import sys; sys.exit(0)", errors.MigrationFailed, "exit", id="exits"),
        pytest.param("import os; os._exit(7)", errors.MigrationFailed, "7", id="ends its process"),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)", errors.MigrationFailed, "", id="kills itself"
        ),
        pytest.param(
            "import threading; threading.Event().wait()",
            errors.MigrationTimedOut,
            "wrong.py",
            id="hangs",
        ),
        pytest.param("raise KeyboardInterrupt", errors.MigrationFailed, "", id="is interrupted"),
        pytest.param(
            "connection.execute('DROP TABLE nowhere')", errors.MigrationFailed, "42P01", id="fails"
        ),
    ],
)
def test_a_function_that_cannot_work_is_told_and_leaves_nothing(  # noqa: PLR0917 (three of them are one case)
    build, project, assert_next_run_works, body, error, said
):
    (project / "wrong.py").write_text(f"def make(connection):\n    {body}\n")
    with pytest.raises(error) as caught:
        build("call:wrong:make", deadline=5.0 if error is errors.MigrationTimedOut else 40.0)
    assert said in str(caught.value)
    assert_next_run_works()


def test_a_command_that_hangs_is_ended_with_what_it_started(build, project, assert_next_run_works):
    (project / "slow.sh").write_text("#!/bin/sh\nsleep 1000 & sleep 1000\n")
    (project / "slow.sh").chmod(0o755)
    with pytest.raises(errors.MigrationTimedOut, match=r"slow\.sh"):
        build("run:./slow.sh", deadline=0.5)
    assert_next_run_works()


def test_a_function_in_code_that_drops_its_database_is_told(build, assert_next_run_works):
    def drop(url: str) -> None:
        address = psycopg.conninfo.conninfo_to_dict(url)
        name = address.pop("dbname")
        with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}"')

    with pytest.raises(errors.FreshpgError) as caught:
        build(drop)
    assert str(caught.value).startswith("FPG-")
    assert_next_run_works()


def test_what_a_function_leaves_open_does_not_hold_the_template_up(build, assert_next_run_works):
    left = []

    def leave(url: str) -> None:
        session = psycopg.connect(url)
        session.execute("CREATE TABLE never_committed ()")
        left.append(session)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE customer (id int); INSERT INTO customer VALUES (1)")

    build(leave)
    for session in left:
        session.close()
    assert_next_run_works()


def test_a_prepared_transaction_of_a_migration_is_rolled_back(build, script):
    text = "BEGIN; CREATE TABLE a (); PREPARE TRANSACTION 'left';"
    assert build(script(text), settings={"max_prepared_transactions": "5"}) == "shop_test"


ODD = {
    "an index built beside": "CREATE INDEX CONCURRENTLY ON customer (name)",
    "a vacuum": "VACUUM FULL ANALYZE customer",
    "a value of a type": "CREATE TYPE mood AS ENUM ('sad');\nALTER TYPE mood ADD VALUE 'ok';\nSELECT 'ok'::mood;",
    "transactions of its own": "BEGIN; CREATE TABLE b (); COMMIT; BEGIN; CREATE TABLE c (); ROLLBACK;",
    "another search path": "CREATE SCHEMA shop; SET search_path = shop; CREATE TABLE d ();",
    "a role of its own for the session": "SET ROLE NONE; RESET ROLE;",
    "time limits switched off": "SET statement_timeout = 0; SET lock_timeout = 0;",
    "a comment of its own": "DO $$ BEGIN EXECUTE 'COMMENT ON DATABASE ' || quote_ident(current_database()) || ' IS ''shop'''; END $$;",
    "no connection for anybody": "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' CONNECTION LIMIT 0'; END $$;",
    "a dead public schema": "DROP SCHEMA IF EXISTS nowhere CASCADE; REVOKE ALL ON SCHEMA public FROM PUBLIC;",
    "short time limits for everybody": "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET statement_timeout = ''30s'''; END $$;",
    "a line that psql shows": "\\echo made\n\\set ON_ERROR_STOP on\nSELECT 1;",
    "nothing": "",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_a_script_that_only_looks_odd_works_at_every_level(
    make_manager, project, assert_clean, text
):
    with (project / "schema.sql").open("a") as file:
        file.write(f"\n{text}\n")
    manager = make_manager()
    for level in ("reset", "clone", "readonly"):
        assert_clean(manager, level, times=2)


def test_settings_and_rights_of_the_database_reach_every_clone(make_manager, project):
    with (project / "schema.sql").open("a") as file:
        file.write("""
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET search_path = shop, public', current_database());
  EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
  EXECUTE format('ALTER DATABASE %I SET application_name = %L', current_database(), 'it''s "new"');
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
""")
    manager = make_manager()
    for level in LEVELS:
        for _ in range(2):
            with manager.lease(isolation=level) as database, database.connect() as connection:
                told = connection.execute(
                    """
                    SELECT current_setting('search_path'), current_setting('default_transaction_read_only'),
                           current_setting('application_name'), has_database_privilege('public', current_database(), 'TEMPORARY')
                    """
                ).fetchone()
                assert told == ("shop, public", "on", 'it\'s "new"', False), level


def test_a_template_that_fails_is_tried_again_by_the_next_run_not_by_the_next_test(
    project, make_manager
):
    (project / "schema.sql").write_text("SELEC 1;")
    manager = make_manager()
    with pytest.raises(errors.MigrationFailed) as first:
        manager.acquire()
    with pytest.raises(errors.MigrationFailed) as second:
        manager.acquire()
    assert str(first.value) == str(second.value)


def test_an_unreadable_blueprint_does_not_stop_the_start(project):
    (project / "freshpg.toml").write_text(
        '[databases.main]\nmigrations = ["schema.sql"]\n[databases.other]\nmigrations = ["nowhere.sql"]\n'
    )
    with DatabaseManager.from_project(project) as manager:
        with pytest.raises(errors.MigrationMissing):
            manager.acquire("other")
        with manager.lease("main") as database, database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
