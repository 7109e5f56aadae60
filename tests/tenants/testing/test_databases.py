"""The manager makes databases of tenants by name, and takes every one back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from freshpg.core.errors import BlueprintInvalid, DatabaseError, LeaseClosed
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin

KILLED = """
import os, signal, sys
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

settings = Settings(server=sys.argv[1], allow_create=True,
    databases={"main": {"name": "killed_test", "migrations": ["workspace.sql"]}})
made = DatabaseManager(settings).tenant_databases().create
for tenant in ("acme", "globex"):
    made(tenant)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def databases(manager):
    with manager.tenant_databases("tenant", test="this test") as databases:
        yield databases


def ask(address, statement):
    with psycopg.connect(**address.keywords(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def tenants_on(names):
    return {name for name in names if "tenantdb" in name}


def test_a_tenants_database_equals_the_template(databases):
    assert ask(databases.create("acme"), "SELECT body FROM note") == [("welcome",)]


def test_each_tenant_has_its_own(databases):
    acme, globex = databases.create("acme"), databases.create("globex")

    ask(acme, "INSERT INTO note (body) VALUES ('mine')")

    assert acme.dbname != globex.dbname
    assert ask(globex, "SELECT count(*) FROM note") == [(1,)]


def test_asked_again_it_is_the_same(databases):
    assert databases.create("acme") == databases.create("acme") == databases.address_of("acme")
    assert list(databases.tenants) == ["acme"]


@pytest.mark.parametrize("tenant", ["", "a" * 64, "läden", '"; DROP DATABASE postgres; --', "a\nb"])
def test_a_tenant_may_have_any_name(databases, tenant):
    assert ask(databases.create(tenant), "SELECT count(*) FROM note") == [(1,)]


def test_two_sets_do_not_see_each_other(manager, databases):
    mine = databases.create("acme")
    with manager.tenant_databases("tenant") as others:
        assert others.address_of("acme") is None
        assert others.create("acme").dbname != mine.dbname
    assert ask(mine, "SELECT count(*) FROM note") == [(1,)]


def test_twenty_threads_that_ask_for_one_tenant_get_one_database(databases):
    with ThreadPoolExecutor(20) as threads:
        made = list(threads.map(lambda _: databases.create("acme"), range(20)))

    assert len(set(made)) == 1
    assert len(databases) == 1


def test_threads_that_ask_for_different_tenants_get_one_each(databases):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(databases.create, map(str, range(12))))

    assert len({address.dbname for address in made}) == 12


def test_all_are_gone_at_the_end_whoever_is_connected(manager, names_of):
    databases = manager.tenant_databases("tenant")
    address = databases.create("acme")
    with psycopg.connect(**address.keywords()) as connection:
        connection.execute("INSERT INTO note (body) VALUES ('never committed')")
        databases.close()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert not tenants_on(names_of(manager))


def test_a_name_is_free_again_once_its_database_is_dropped(databases, names_of, manager):
    first = databases.create("acme")

    assert databases.drop("acme")

    assert not databases.drop("acme")
    assert first.dbname not in names_of(manager)
    assert databases.create("globex").dbname == first.dbname


def test_after_the_end_none_is_made(databases):
    databases.close()
    databases.close()

    with pytest.raises(LeaseClosed, match="this test"):
        databases.create("acme")


def test_one_that_the_test_dropped_itself_is_no_matter(databases, manager, names_of):
    address = databases.create("acme")
    with Admin.connect(manager._holding.running.coordination) as admin:
        admin.execute(f'DROP DATABASE "{address.dbname}"')

    databases.close()

    assert not tenants_on(names_of(manager))


def test_an_unknown_blueprint_is_named(manager):
    with pytest.raises(BlueprintInvalid, match="tenent"):
        manager.tenant_databases("tenent")


def test_a_forked_child_ends_nothing_of_its_parents(databases):
    address = databases.create("acme")
    child = os.fork()
    if child == 0:
        try:
            databases.close()
            databases._tenancy.close()
        finally:
            os._exit(len(databases._tenancy._idle))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert ask(databases.create("globex"), "SELECT 1") == [(1,)]
    assert ask(address, "SELECT 1") == [(1,)]


def test_what_is_open_when_the_manager_stops_is_removed(foreign_settings, foreign, names_of):
    manager = DatabaseManager(foreign_settings)
    address = manager.tenant_databases("tenant").create("acme")
    assert address.dbname in names_of(foreign)

    manager.stop()

    assert not tenants_on(names_of(foreign))


def test_two_runs_on_one_server_have_different_databases(foreign_settings):
    with DatabaseManager(foreign_settings) as one, DatabaseManager(foreign_settings) as other:
        first, second = (each.tenant_databases("tenant").create("acme") for each in (one, other))

    assert first.dbname != second.dbname


@pytest.mark.slow
def test_the_next_run_removes_what_a_killed_one_left(
    foreign_settings, foreign, names_of, tenants_ground
):
    command = [sys.executable, "-c", KILLED, foreign_settings.server]
    killed = subprocess.run(command, cwd=tenants_ground, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {"killed_test_tenantdb", "killed_test_tenantdb_2"} <= names_of(foreign)

    with DatabaseManager(foreign_settings):
        assert not tenants_on(names_of(foreign))


def test_a_database_of_somebody_else_under_such_a_name_is_not_touched(
    foreign_settings, foreign, names_of
):
    with Admin.connect(foreign) as admin:
        admin.execute("CREATE DATABASE ws_test_tenantdb")
    try:
        with (
            DatabaseManager(foreign_settings) as manager,
            manager.tenant_databases("tenant") as databases,
            pytest.raises(DatabaseError, match="ws_test_tenantdb"),
        ):
            databases.create("acme")
        assert "ws_test_tenantdb" in names_of(foreign)
    finally:
        with Admin.connect(foreign) as admin:
            admin.execute("DROP DATABASE ws_test_tenantdb")
