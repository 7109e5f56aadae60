"""The manager's contract on every PostgreSQL at hand: levels, templates, leases, what clones take along."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from freshpg.core.errors import MigrationFailed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad');
ALTER TYPE mood ADD VALUE 'ok';
CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'ok');
INSERT INTO customer (name) VALUES ('Ada');
CREATE INDEX CONCURRENTLY ON customer (mood);
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, shop', current_database()); END $$;
"""
DATABASES = {"main": {"name": "shop_test", "migrations": ["schema.sql"]}}


@pytest.fixture(autouse=True)
def schema(tmp_path):
    (tmp_path / "schema.sql").write_text(SCHEMA)


def use(database):
    with database.connect() as connection:
        rows = connection.execute("SELECT id, name, mood::text FROM customer").fetchall()
        assert rows == [(1, "Ada", "ok")]
        assert connection.execute("SHOW search_path").fetchone() == ("public, shop",)
        if database.isolation != "readonly":
            row = connection.execute(
                "INSERT INTO customer (name) VALUES ('Grace') RETURNING id"
            ).fetchone()
            assert row == (2,)


@pytest.mark.parametrize("level", ["reset", "clone", "readonly", "server"])
def test_every_lease_of_every_level_begins_equal_to_the_template(make_manager, major, level):
    manager = make_manager(databases=DATABASES)
    for _ in range(2 if level == "server" else 5):
        with manager.lease(isolation=level, test="test_x") as database:
            use(database)
            if level == "reset":
                residue = database.reset()
                assert [table.table for table in residue.tables] == ["public.customer"]
                assert not residue.replaced
                use(database)
            with database.connect() as connection:
                assert connection.info.server_version // 10000 == major
    assert manager.server.version.split(".")[0] == str(major)


def test_several_leases_are_held_at_once_and_everything_is_gone_afterwards(make_manager):
    manager = make_manager(databases=DATABASES)
    with manager.lease() as one, manager.lease() as two, manager.lease(isolation="clone") as three:
        assert len({one.name, two.name, three.name}) == 3
        for database in (one, two, three):
            use(database)
        sockets = Path(one.conninfo.host)
        assert manager.health().ok
    manager.stop()
    assert not sockets.parent.exists()


def test_an_image_is_used_again_and_a_migration_may_be_appended(make_manager, tmp_path):
    first, second = make_manager(databases=DATABASES), make_manager(databases=DATABASES)
    for manager in (first, second):
        with manager.lease() as database:
            use(database)
        manager.stop()
    assert second.server.how == "image"
    (tmp_path / "more.sql").write_text("CREATE TABLE more ();")
    grown = {"main": {"name": "shop_test", "migrations": ["schema.sql", "more.sql"]}}
    third = make_manager(databases=grown)
    with third.lease() as database, database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)


def test_a_warm_server_is_taken_over_clean(make_manager):
    first = make_manager(databases=DATABASES, linger=60)
    with first.lease() as database:
        use(database)
    first.stop()
    second = make_manager(databases=DATABASES)
    with second.lease() as database:
        use(database)
    assert second.server.how == "warm"


def test_a_superuser_suite_a_failing_migration_and_a_readonly_refusal(make_manager, tmp_path):
    with (
        make_manager(databases=DATABASES, superuser=True).lease() as database,
        database.connect() as connection,
    ):
        assert connection.execute("SHOW is_superuser").fetchone() == ("on",)
    with (
        make_manager(databases=DATABASES).lease(isolation="readonly") as database,
        database.connect(autocommit=True) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("CREATE TABLE no ()")
    (tmp_path / "schema.sql").write_text("CREATE TABEL x ();")
    with pytest.raises(MigrationFailed, match="42601"):
        make_manager(databases=DATABASES).acquire()


def test_a_prepared_transaction_and_open_sessions_do_not_reach_the_next(make_manager):
    manager = make_manager(databases=DATABASES, settings={"max_prepared_transactions": "3"})
    for number in range(3):
        with (
            manager.lease(isolation="reset") as database,
            database.connect(autocommit=True) as connection,
        ):
            use(database)
            connection.execute("BEGIN")
            connection.execute("LOCK TABLE customer")
            connection.execute(f"PREPARE TRANSACTION 'left {number}'")
