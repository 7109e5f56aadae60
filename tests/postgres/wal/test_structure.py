"""Changes of more than rows are said to be so, and show in the catalogs."""

import pytest

# What is done, what it is called, and catalogs that have to show.
CHANGES = {
    "create table": ("CREATE TABLE more (id int)", "created", {"pg_class", "pg_attribute"}),
    "drop table": ("DROP TABLE notes", "removed", {"pg_class", "pg_attribute"}),
    "truncate": ("TRUNCATE notes", "created", {"pg_class"}),
    "truncate and restart": ("TRUNCATE notes RESTART IDENTITY", "created", {"pg_class"}),
    "created and rolled back": ("BEGIN; CREATE TABLE more (); ROLLBACK", "created", {"pg_class"}),
    "add column": ("ALTER TABLE notes ADD COLUMN extra int", "", {"pg_class", "pg_attribute"}),
    "rewrite": ("ALTER TABLE notes ALTER number TYPE bigint", "created", {"pg_class"}),
    "create index": ("CREATE INDEX ON notes (number)", "created", {"pg_index", "pg_class"}),
    "reindex": ("REINDEX TABLE notes", "created", {"pg_class"}),
    "cluster": ("CLUSTER notes USING notes_pkey", "created", {"pg_class"}),
    "vacuum full": ("VACUUM FULL notes", "created", {"pg_class"}),
    "vacuum full of a catalog": ("VACUUM FULL pg_class", "created", set()),
    "create view": ("CREATE VIEW seen AS SELECT 1", "", {"pg_class", "pg_rewrite"}),
    "create function": ("CREATE FUNCTION f() RETURNS int RETURN 1", "", {"pg_proc"}),
    "create type": ("CREATE TYPE mood AS ENUM ('good')", "", {"pg_type", "pg_enum"}),
    "comment": ("COMMENT ON TABLE notes IS 'x'", "", {"pg_description"}),
    "grant": ("GRANT SELECT ON notes TO public", "", {"pg_class"}),
    "unlogged table": ("CREATE UNLOGGED TABLE quick (id int)", "created", {"pg_class"}),
    "set unlogged": ("ALTER TABLE notes SET UNLOGGED", "created", {"pg_class"}),
    "create sequence": ("CREATE SEQUENCE counter", "created", {"pg_class", "pg_sequence"}),
    "restart sequence": ("ALTER SEQUENCE notes_id_seq RESTART 5", "created", {"pg_class"}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_of_structure_show(ledger, case):
    statements, said, catalogs = CHANGES[case]
    written = ledger.during(statements)
    assert said in written.structural
    assert bool(said) == bool(written.structural)
    assert catalogs <= written.relations


def test_refreshing_a_materialized_view_shows(ledger):
    ledger.admin.execute(
        "CREATE MATERIALIZED VIEW summary AS SELECT id FROM notes; CREATE UNIQUE INDEX ON summary (id);"
        "DELETE FROM notes"
    )
    written = ledger.during("REFRESH MATERIALIZED VIEW CONCURRENTLY summary")
    assert "summary" in written.relations
    written = ledger.during("REFRESH MATERIALIZED VIEW summary")
    assert written.structural
    assert "pg_class" in written.relations


def test_the_end_of_a_table_that_vacuum_cuts_off_shows(ledger):
    ledger.admin.execute("INSERT INTO notes SELECT i, 'x' FROM generate_series(10, 5000) i")
    ledger.admin.execute("DELETE FROM notes WHERE id > 1")
    written = ledger.during("VACUUM (TRUNCATE) notes")
    assert "shortened" in written.structural
    assert not written.relations


def test_roles_and_settings_of_the_database_show_as_shared(ledger):
    written = ledger.during("CREATE ROLE wal_role")
    assert written.shared == {"pg_authid"}
    assert ledger.during("GRANT wal_role TO postgres").shared == {"pg_auth_members"}
    assert ledger.during("ALTER DATABASE wal_here SET work_mem = '1MB'").shared == {
        "pg_db_role_setting"
    }
    assert "pg_authid" in ledger.during("DROP ROLE wal_role").shared
    assert not written.structural


def test_a_clone_of_another_database_shows_as_shared_only(ledger, elsewhere, admin):
    written = ledger.during(
        lambda: admin.execute("CREATE DATABASE wal_clone TEMPLATE template0 STRATEGY file_copy")
    )
    assert written.shared == {"pg_database"}
    assert not written.relations
    assert not written.structural
    written = ledger.during(lambda: admin.execute("DROP DATABASE wal_clone"))
    assert "pg_database" in written.shared
    assert not written.structural


def test_a_clone_by_wal_shows_as_shared_only(ledger, admin):
    written = ledger.during(
        lambda: admin.execute("CREATE DATABASE wal_clone TEMPLATE template0 STRATEGY wal_log")
    )
    assert not written.relations
    assert not written.structural


def test_what_happens_to_the_database_itself_shows(ledger, admin):
    admin.execute("CREATE DATABASE wal_clone")
    oid = admin.value("SELECT oid FROM pg_database WHERE datname = 'wal_clone'")
    start, end = ledger.around(lambda: admin.execute("DROP DATABASE wal_clone"))
    ledger.database, ours = oid, ledger.database
    try:
        assert ledger.read(start, end).structural == "the database was dropped"
    finally:
        ledger.database = ours
    assert not ledger.read(start, end).structural


def test_a_tablespace_shows(ledger, admin):
    admin.execute("SET allow_in_place_tablespaces = on")
    written = ledger.during(lambda: admin.execute("CREATE TABLESPACE wal_space LOCATION ''"))
    assert "tablespace" in written.structural
    assert (
        "tablespace" in ledger.during(lambda: admin.execute("DROP TABLESPACE wal_space")).structural
    )
