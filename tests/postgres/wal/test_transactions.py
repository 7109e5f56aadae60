"""Transactions committed in the range are named, those that were not are not."""


def test_a_commit_is_named_with_its_subtransactions(ledger):
    ledger.admin.execute("DELETE FROM notes")
    written = ledger.during(
        "BEGIN; INSERT INTO notes (id) VALUES (10); SAVEPOINT a; INSERT INTO notes (id) VALUES (11);"
        "SAVEPOINT b; INSERT INTO notes (id) VALUES (12); RELEASE b; RELEASE a; COMMIT"
    )
    writers = ledger.rows_of("notes")
    assert len(writers) == 3
    assert writers <= written.commits


def test_what_was_rolled_back_is_not_named(ledger):
    xids = []

    def roll_back():
        ledger.admin.execute("BEGIN")
        xids.append(int(ledger.admin.value("SELECT pg_current_xact_id()::text")))
        ledger.admin.execute("SAVEPOINT a; UPDATE notes SET word = 'x'; ROLLBACK")

    written = ledger.during(roll_back)
    assert written.relations == {"notes"}
    assert not {xids[0], xids[0] + 1} & written.commits


def test_a_savepoint_that_was_rolled_back_is_not_named(ledger):
    xids = []

    def half():
        ledger.admin.execute("BEGIN; UPDATE notes SET word = 'x'; SAVEPOINT a")
        ledger.admin.execute("INSERT INTO notes (id) VALUES (30)")
        xids.append(ledger.admin.value("SELECT xmin::text::bigint FROM notes WHERE id = 30"))
        ledger.admin.execute("ROLLBACK TO a; COMMIT")

    written = ledger.during(half)
    assert ledger.rows_of("notes") <= written.commits
    assert xids[0] not in written.commits


def test_a_prepared_transaction_is_named_when_it_is_committed(ledger):
    written = ledger.during(
        "BEGIN; UPDATE notes SET word = 'p'; SAVEPOINT a; INSERT INTO notes (id) VALUES (40);"
        "PREPARE TRANSACTION 'later'"
    )
    assert written.relations == {"notes"}
    before = written.commits
    written = ledger.during("COMMIT PREPARED 'later'")
    assert not written.relations
    writers = ledger.rows_of("notes")
    assert len(writers) == 2
    assert writers <= written.commits
    assert not writers & before


def test_a_prepared_transaction_that_dropped_a_table_is_named(ledger):
    ledger.admin.execute("CREATE TABLE doomed (id int PRIMARY KEY)")
    ledger.admin.execute("BEGIN; DROP TABLE doomed; UPDATE notes SET word = 'p'")
    ledger.admin.execute("PREPARE TRANSACTION 'later'")
    written = ledger.during("COMMIT PREPARED 'later'")
    assert "removed" in written.structural
    assert ledger.rows_of("notes") <= written.commits


def test_a_prepared_transaction_that_was_rolled_back_is_not_named(ledger):
    ledger.admin.execute("BEGIN; INSERT INTO notes (id) VALUES (50)")
    xid = int(ledger.admin.value("SELECT pg_current_xact_id()::text"))
    ledger.admin.execute("PREPARE TRANSACTION 'never'")
    written = ledger.during("ROLLBACK PREPARED 'never'")
    assert xid not in written.commits


def test_rows_of_a_transaction_that_is_still_open_show(ledger, second):
    written = ledger.during(lambda: second.execute("BEGIN; INSERT INTO notes (id) VALUES (60)"))
    assert written.relations == {"notes"}
    xid = int(second.value("SELECT pg_current_xact_id()::text"))
    assert xid not in written.commits
    assert xid in ledger.during(lambda: second.execute("COMMIT")).commits
