"""Somebody else's server: nothing is touched but what freshpg made there."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from postgres_server import running_server

from freshpg.core.errors import (
    CreateDatabaseRefused,
    LoginRefused,
    NotOurs,
    ServerUnreachable,
    UsageInvalid,
)
from freshpg.leases.coordination import ensure_coordination
from freshpg.postgres.admin import Admin

THEIRS = "customers"


@pytest.fixture(scope="module")
def foreign():
    """Yield the address of a server that is not ours, with a database and a role of its owner."""
    with running_server() as conninfo:
        with Admin.connect(conninfo) as admin:
            admin.execute(f"CREATE DATABASE {THEIRS}")
            admin.execute("CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'sesame'")
            admin.execute("CREATE ROLE pauper LOGIN")
        # Made by the weaker role: what a superuser made, it could not use.
        ensure_coordination(conninfo.with_(user="maker"))
        yield conninfo.with_(dbname="postgres")


@pytest.fixture
def make_foreign(make_manager, foreign):
    def make(user="maker", **changes):
        changes.setdefault("allow_create", True)
        return make_manager(server=foreign.with_(user=user).url(), **changes)

    return make


def databases(foreign):
    with Admin.connect(foreign) as admin:
        return {name for (name,) in admin.rows("SELECT datname FROM pg_database")}


@pytest.mark.parametrize("level", ["clone", "reset", "readonly"])
@pytest.mark.parametrize("user", ["maker", "freshpg_admin"])
def test_every_level_works_there(make_foreign, level, user):
    # Each role its own name: what one made for itself, the other could not remove.
    databases = {"main": {"name": f"{user}_test", "migrations": ["schema.sql"]}}
    manager = make_foreign(user, databases=databases)
    for _ in range(3):
        with manager.lease(isolation=level) as database, database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
            if level != "readonly":
                connection.execute("INSERT INTO customer (name) VALUES ('Grace')")


def test_nothing_but_templates_and_coordination_stays(make_foreign, foreign):
    before = databases(foreign)
    manager = make_foreign()
    with manager.lease(isolation="clone"):
        assert databases(foreign) > before
    manager.stop()
    left = {name for name in databases(foreign) - before if "_template_" not in name}
    assert left <= {"freshpg_coordination", "shop_test_readonly"}
    assert THEIRS in databases(foreign)


def test_two_runs_at_once_get_different_databases(make_foreign):
    one, two = make_foreign(), make_foreign()
    with one.lease() as first, two.lease() as second:
        assert first.name != second.name


def test_a_role_without_rights_is_told_what_to_ask_for(make_foreign, foreign):
    before = databases(foreign)
    with pytest.raises(CreateDatabaseRefused, match="CREATEDB"):
        make_foreign("pauper").start()
    assert databases(foreign) == before


def test_databases_are_made_only_where_the_settings_say_so(make_foreign, foreign):
    before = databases(foreign)
    with pytest.raises(CreateDatabaseRefused, match="allow_create"):
        make_foreign(allow_create=False).start()
    assert databases(foreign) == before


def test_a_database_of_theirs_with_our_name_is_never_touched(make_foreign, foreign):
    with Admin.connect(foreign) as admin:
        admin.execute("CREATE DATABASE theirs_test")
    with psycopg.connect(**foreign.with_(dbname="theirs_test").keywords()) as connection:
        connection.execute("CREATE TABLE precious (id int)")
    manager = make_foreign(
        databases={"main": {"name": "theirs_test", "migrations": ["schema.sql"]}}
    )
    with pytest.raises(NotOurs, match="theirs_test"), manager.lease():
        pass
    manager.stop()
    with psycopg.connect(**foreign.with_(dbname="theirs_test").keywords()) as connection:
        assert connection.execute("SELECT count(*) FROM precious").fetchone() == (0,)


def test_a_server_of_ours_that_is_in_use_is_not_taken_for_somebody_elses(make_manager, manager):
    with manager.lease() as database:
        control = manager._holding.running.coordination.url()
        inner = make_manager(server=control, allow_create=True)
        with pytest.raises(UsageInvalid, match="one of freshpg's own"):
            inner.start()
        with database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)


def test_a_server_of_its_own_cannot_be_made_there(make_foreign):
    with pytest.raises(UsageInvalid, match="auto"), make_foreign().lease(isolation="server"):
        pass


def test_an_address_where_nothing_answers_is_named_without_its_password(make_manager):
    manager = make_manager(server="postgresql://me:s3cr3t@127.0.0.1:1/app", allow_create=True)
    with pytest.raises(ServerUnreachable) as caught:
        manager.start()
    assert "127.0.0.1" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_role_that_does_not_exist_is_a_refused_login(make_manager, foreign):
    manager = make_manager(
        server=foreign.with_(user="nobody_here", password="s3cr3t").url(), allow_create=True
    )
    with pytest.raises(LoginRefused) as caught:
        manager.start()
    assert "s3cr3t" not in str(caught.value)


def test_the_next_run_removes_what_a_killed_one_left(make_foreign, foreign, project):
    code = """
import os, sys
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
manager = DatabaseManager(Settings(server=sys.argv[1], allow_create=True,
    databases={"main": {"name": "killed_test", "migrations": ["schema.sql"]}}))
manager.acquire("main", isolation="clone")
os.kill(os.getpid(), 9)
"""
    address = foreign.with_(user="maker").url()
    subprocess.run([sys.executable, "-c", code, address], cwd=project, check=False)
    # Which of its names was handed out depends on which clone was made first.
    assert _of_the_killed_one(foreign)
    make_foreign().start()
    assert not _of_the_killed_one(foreign)


def _of_the_killed_one(foreign):
    return {
        name
        for name in databases(foreign)
        if name.startswith("killed_test") and "template" not in name
    }


@pytest.mark.parametrize("user", ["maker", "freshpg_admin"])
def test_sequences_and_tables_are_put_right_there_too(make_foreign, user):
    databases = {"main": {"name": f"{user}_test", "migrations": ["schema.sql"]}}
    with make_foreign(user, databases=databases).lease(isolation="reset") as database:
        with database.connect(autocommit=True) as connection:
            connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
        assert database.reset_sequences() == ("public.customer_id_seq",)
        plan = database.truncate("customer", restore_seed=True)
        assert (plan.rows, plan.restored) == (2, 1)
        with database.connect(autocommit=True) as connection:
            connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
            assert connection.execute("SELECT array_agg(name ORDER BY id) FROM customer").fetchone() == (["Ada", "Grace"],)  # fmt: skip


def test_without_our_mark_no_table_is_emptied_and_no_sequence_set(make_foreign, foreign):
    with make_foreign("freshpg_admin").lease(isolation="clone") as database:
        with Admin.connect(foreign) as admin:
            comment = admin.value("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (database.name,))  # fmt: skip
            admin.execute(f'COMMENT ON DATABASE "{database.name}" IS NULL')
            try:
                with pytest.raises(NotOurs):
                    database.truncate("customer")
                with pytest.raises(NotOurs):
                    database.reset_sequences(to="one")
            finally:
                admin.execute(f"COMMENT ON DATABASE \"{database.name}\" IS '{comment}'")
        with database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
            assert connection.execute("SELECT last_value FROM customer_id_seq").fetchone() == (1,)
