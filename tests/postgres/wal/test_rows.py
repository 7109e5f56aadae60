"""Rows that were written show as their table, and nothing else does."""

import pytest

NOTHING = set()

ROWS = {
    "insert": ("INSERT INTO notes (id, word) VALUES (7, 'a')", {"notes"}),
    "insert and conflict": (
        "INSERT INTO notes (id, word) VALUES (7, 'a') ON CONFLICT (id) DO NOTHING",
        {"notes"},
    ),
    "conflict": (
        "INSERT INTO notes (id, word) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET word = 'b'",
        {"notes"},
    ),
    "update": ("UPDATE notes SET id = 9", {"notes"}),
    "update in the same page": ("UPDATE notes SET word = 'b'", {"notes"}),
    "update and put back": (
        "UPDATE notes SET word = 'b'; UPDATE notes SET word = 'seed'",
        {"notes"},
    ),
    "delete": ("DELETE FROM notes", {"notes"}),
    "insert and delete": (
        "INSERT INTO notes (id) VALUES (7); DELETE FROM notes WHERE id = 7",
        {"notes"},
    ),
    "rolled back": ("BEGIN; INSERT INTO notes (id) VALUES (7); ROLLBACK", {"notes"}),
    "many": (
        "INSERT INTO notes (id, word) SELECT i, md5(i::text) FROM generate_series(10, 1010) i",
        {"notes"},
    ),
    "merge": (
        """MERGE INTO notes n USING (VALUES (1), (2)) v (id) ON n.id = v.id
            WHEN MATCHED THEN UPDATE SET word = 'm' WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)""",
        {"notes"},
    ),
    "toast": (
        "UPDATE notes SET word = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i)",
        {"notes"},
    ),
    "lock for update": ("SELECT * FROM notes FOR UPDATE", NOTHING),
    "lock for share": ("SELECT * FROM notes FOR SHARE", NOTHING),
    "reading": ("SELECT * FROM notes", NOTHING),
    "vacuum": ("VACUUM (FREEZE) notes", NOTHING),
    "checkpoint": ("CHECKPOINT", NOTHING),
    "wal switch": ("SELECT pg_switch_wal()", NOTHING),
    "restore point": ("SELECT pg_create_restore_point('here')", NOTHING),
    "message": ("SELECT pg_logical_emit_message(true, 'a', repeat('b', 30000))", NOTHING),
    "listen and notify": ("LISTEN a; NOTIFY a; UNLISTEN a", NOTHING),
    "advisory lock": ("SELECT pg_advisory_lock(1)", NOTHING),
    "nothing": ("SELECT 1", NOTHING),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_show_as_their_table(ledger, case):
    statements, expected = ROWS[case]
    if "restore_point" in statements and ledger.admin.value("SHOW wal_level") == "minimal":
        pytest.skip("the server has no restore points")
    written = ledger.during(statements)
    assert written.relations == expected
    assert not written.sequences
    assert not written.shared
    assert not written.structural


def test_analyze_writes_to_statistics_only(ledger):
    written = ledger.during("ANALYZE notes")
    assert written.relations == {"pg_statistic"}
    assert not written.structural


def test_vacuum_after_deletes_is_no_change_of_rows(ledger):
    ledger.admin.execute("INSERT INTO notes SELECT i, 'x' FROM generate_series(10, 500) i")
    ledger.admin.execute("DELETE FROM notes WHERE id % 2 = 0")
    assert not ledger.during("VACUUM (TRUNCATE false) notes").relations


def test_pruning_by_a_reader_is_no_change_of_rows(ledger):
    ledger.admin.execute("ALTER TABLE notes SET (fillfactor = 100)")
    ledger.admin.execute(
        "INSERT INTO notes SELECT i, repeat('x', 50) FROM generate_series(10, 90) i"
    )
    for _ in range(3):
        ledger.admin.execute("UPDATE notes SET word = repeat('y', 50)")
    assert not ledger.during("SELECT count(*) FROM notes").relations


def test_copy_of_a_thousand_rows(ledger):
    def copy():
        with ledger.admin.connection.cursor().copy("COPY notes FROM STDIN") as stream:
            for number in range(10, 1010):
                stream.write_row((number, "word" * 20, number))

    written = ledger.during(copy)
    assert written.relations == {"notes"}
    assert written.touched.size > 10 * 8192


def test_every_table_of_a_transaction_shows(ledger):
    ledger.admin.execute(
        "CREATE TABLE parents (id int PRIMARY KEY);"
        "CREATE TABLE children (id int REFERENCES parents);"
        "CREATE TABLE strangers (id int); INSERT INTO parents VALUES (1)"
    )
    written = ledger.during(
        "BEGIN; INSERT INTO children VALUES (1); UPDATE notes SET word = 'c'; COMMIT"
    )
    # The foreign key locks the parent, which is no change.
    assert written.relations == {"children", "notes"}


def test_partitions_show_one_by_one(ledger):
    ledger.admin.execute(
        "CREATE TABLE logs (day int) PARTITION BY LIST (day);"
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES IN (1);"
        "CREATE TABLE logs_2 PARTITION OF logs FOR VALUES IN (2); INSERT INTO logs VALUES (1)"
    )
    assert ledger.during("INSERT INTO logs VALUES (2)").relations == {"logs_2"}
    assert ledger.during("UPDATE logs SET day = 2 WHERE day = 1").relations == {"logs_1", "logs_2"}


def test_every_kind_of_index_is_silent(ledger):
    ledger.admin.execute(
        "CREATE TABLE things (id int, words text[], place point, at int);"
        "CREATE INDEX ON things USING hash (id); CREATE INDEX ON things USING gin (words);"
        "CREATE INDEX ON things USING gist (place); CREATE INDEX ON things USING spgist (place);"
        "CREATE INDEX ON things USING brin (at)"
    )
    written = ledger.during(
        "INSERT INTO things SELECT i, ARRAY[md5(i::text)], point(i, i), i FROM generate_series(1, 600) i"
    )
    assert written.relations == {"things"}
    assert not written.structural
    ledger.admin.execute("DELETE FROM things WHERE id < 300")
    written = ledger.during("VACUUM (TRUNCATE false) things")
    assert not written.relations
    assert not written.structural


def test_an_index_of_an_extension_shows_as_its_table(ledger):
    if not ledger.admin.value("SELECT 1 FROM pg_available_extensions WHERE name = 'bloom'"):
        pytest.skip("the server comes without bloom")
    ledger.admin.execute("CREATE EXTENSION bloom; CREATE INDEX ON notes USING bloom (number)")
    written = ledger.during("UPDATE notes SET number = 2")
    assert written.relations == {"notes"}
    assert not written.structural


def test_rows_killed_by_surgery_show(ledger):
    if not ledger.admin.value("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_surgery'"):
        pytest.skip("the server comes without pg_surgery")
    ledger.admin.execute("CREATE EXTENSION pg_surgery")
    written = ledger.during("SELECT heap_force_kill('notes', ARRAY['(0,1)']::tid[])")
    assert written.relations == {"notes"}


def test_an_unlogged_table_does_not_show(ledger):
    ledger.admin.execute("CREATE UNLOGGED TABLE quick (id int)")
    written = ledger.during("INSERT INTO quick VALUES (1)")
    assert not written.relations
    assert not written.structural


def test_a_temporary_table_shows_in_catalogs_only(ledger):
    written = ledger.during("CREATE TEMP TABLE brief (id int); INSERT INTO brief VALUES (1)")
    assert not written.tables
    assert "pg_class" in written.relations
    assert not ledger.during("INSERT INTO brief VALUES (2)").relations
    assert not ledger.during("DROP TABLE brief").structural


def test_a_large_object_shows(ledger):
    written = ledger.during("SELECT lo_from_bytea(0, 'abc')")
    assert written.relations == {"pg_largeobject", "pg_largeobject_metadata"}
    number = ledger.admin.value("SELECT min(oid) FROM pg_largeobject_metadata")
    assert ledger.during(f"SELECT lo_put({number}, 0, 'z')").relations == {"pg_largeobject"}


def test_sequences_show_apart(ledger):
    ledger.admin.execute("SELECT setval('notes_id_seq', 3)")
    assert ledger.during("SELECT nextval('notes_id_seq')").sequences == {"notes_id_seq"}
    written = ledger.during("SELECT setval('notes_id_seq', 5)")
    assert written.sequences == {"notes_id_seq"}
    assert not written.relations
    assert not written.structural
    written = ledger.during("BEGIN; SELECT setval('notes_id_seq', 9); ROLLBACK")
    assert written.sequences == {"notes_id_seq"}


def test_a_value_logged_ahead_does_not_show_until_the_sequence_was_set(ledger):
    ledger.admin.execute("SELECT nextval('notes_id_seq')")
    assert not ledger.during("SELECT nextval('notes_id_seq')").sequences
    ledger.admin.execute("SELECT setval('notes_id_seq', 5, false)")
    assert ledger.during("SELECT nextval('notes_id_seq')").sequences == {"notes_id_seq"}


def test_another_database_does_not_show(ledger, elsewhere):
    written = ledger.during(
        lambda: elsewhere.execute(
            "INSERT INTO theirs (word) SELECT 'x' FROM generate_series(1, 1000); CREATE TABLE IF NOT EXISTS more (id int);"
            "TRUNCATE theirs; DROP TABLE more"
        )
    )
    assert not written.relations
    assert not written.sequences
    assert not written.structural
    assert written.commits


def test_writes_of_two_databases_are_told_apart(ledger, elsewhere):
    def both():
        elsewhere.execute("INSERT INTO theirs (word) VALUES ('x')")
        ledger.admin.execute("UPDATE notes SET word = 'x'")

    written = ledger.during(both)
    assert written.relations == {"notes"}
    assert not written.sequences
