"""Rows: every statement that writes them, and every way to hide that it did."""

from isolation.changes.change import Change, needing


def _copy(hands):
    with hands.open().cursor() as cursor, cursor.copy("COPY basket FROM STDIN") as copy:
        for number in range(50):
            copy.write_row((number, f"label {number}"))


def _large_object(hands):
    connection = hands.open(autocommit=False)
    connection.execute("SELECT lowrite(lo_open(4242, 131072), 'another')")
    connection.commit()


CHANGES = [
    Change("insert into an empty table", "INSERT INTO basket VALUES (1, 'x')"),
    Change("insert into a seeded table", "INSERT INTO customer (name) VALUES ('Edsger')"),
    Change("insert along a foreign key chain", (
        "INSERT INTO customer (name) VALUES ('Edsger')",
        "INSERT INTO orders (customer_id, total) SELECT max(id), 5 FROM customer",
        "INSERT INTO item SELECT max(id), 1, 'chalk' FROM orders",
    )),
    Change("insert many rows", "INSERT INTO basket SELECT n, 'x' FROM generate_series(1, 20000) n"),
    Change("insert a row and roll back", (
        "BEGIN", "INSERT INTO basket VALUES (1, 'x')", "ROLLBACK",
    ), content=False),
    Change("insert a row and roll back to a savepoint", (
        "BEGIN", "SAVEPOINT s", "INSERT INTO basket VALUES (1, 'x')", "ROLLBACK TO s", "COMMIT",
    ), content=False),
    Change("insert in a subtransaction that is released", (
        "BEGIN", "SAVEPOINT s", "INSERT INTO basket VALUES (1, 'x')", "RELEASE s", "COMMIT",
    )),
    Change("insert and delete again", (
        "INSERT INTO basket VALUES (1, 'x')", "DELETE FROM basket",
    ), content=False),
    Change("insert and skip a conflict", "INSERT INTO employee VALUES (1, NULL) ON CONFLICT DO NOTHING",
        content=False),
    Change("upsert", "INSERT INTO employee VALUES (3, 1) ON CONFLICT (id) DO UPDATE SET boss = 2"),
    Change("copy from a stream", _copy),
    Change("update one row", "UPDATE customer SET name = 'Augusta' WHERE id = 1"),
    Change("update every row", "UPDATE orders SET total = total + 1"),
    Change("update a key", "UPDATE without_key SET a = 9 WHERE a = 2"),
    Change("update and put back", (
        "UPDATE item SET label = 'changed' WHERE label = 'pen'",
        "UPDATE item SET label = 'pen' WHERE label = 'changed'",
    ), content=False),
    Change("update to the same value", "UPDATE item SET label = label", content=False),
    Change("update a column of a trigger's table, noted by the trigger",
        "UPDATE customer SET name = name WHERE id = 1"),
    Change("delete one seeded row", "DELETE FROM item WHERE label = 'pen'"),
    Change("delete every row of a seeded table", "DELETE FROM item"),
    Change("delete with a cascade", "DELETE FROM orders WHERE id = 1"),
    Change("delete and insert as many others", (
        "DELETE FROM employee WHERE id = 3", "INSERT INTO employee VALUES (4, 1)",
    )),
    Change("delete and insert the same", (
        "DELETE FROM employee WHERE id = 3", "INSERT INTO employee VALUES (3, 1)",
    ), content=False),
    Change("delete one of two equal rows without a key",
        "DELETE FROM without_key WHERE ctid = (SELECT min(ctid) FROM without_key WHERE a = 1)"),
    Change("insert a third equal row without a key", "INSERT INTO without_key VALUES (1, 'twin')"),
    Change("change NULL to an empty text", "UPDATE without_key SET b = '' WHERE b IS NULL"),
    Change("close a circle of a foreign key to itself", "UPDATE employee SET boss = 3 WHERE id = 1"),
    Change("merge", (
        "MERGE INTO basket b USING (VALUES (1, 'm')) AS s(id, label) ON b.id = s.id"
        " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.label)"
    )),
    Change("write through a common table expression", (
        "WITH gone AS (DELETE FROM without_key WHERE a = 2 RETURNING *)"
        " INSERT INTO basket SELECT a, b FROM gone"
    )),
    Change("truncate a seeded table", "TRUNCATE item"),
    Change("truncate an empty table", "TRUNCATE basket", content=False),
    Change("truncate with a cascade and restarted identities", "TRUNCATE customer RESTART IDENTITY CASCADE"),
    Change("truncate and roll back", ("BEGIN", "TRUNCATE item", "ROLLBACK"), content=False),
    Change("truncate and fill with the same", (
        "BEGIN", "CREATE TEMP TABLE aside ON COMMIT DROP AS SELECT * FROM item", "TRUNCATE item",
        "INSERT INTO item SELECT * FROM aside", "COMMIT",
    ), content=False),
    Change("insert into an unlogged table", "INSERT INTO cache VALUES (2, 'warm')"),
    Change("update an unlogged table", "UPDATE cache SET value = 'cold'"),
    Change("delete from an unlogged table", "DELETE FROM cache"),
    Change("truncate an unlogged table", "TRUNCATE cache"),
    Change("update a value stored out of line", "UPDATE document SET body = repeat('tall ', 5000) WHERE id = 1"),
    Change("insert a value stored out of line", "INSERT INTO document VALUES (3, repeat('wide ', 50000))"),
    Change("update beside a value stored out of line", "UPDATE document SET id = 10 WHERE id = 1"),
    Change("insert into a partition through its parent", "INSERT INTO event VALUES ('2024-06-01', 'more')"),
    Change("move a row from one partition to another", "UPDATE event SET at = '2025-06-01' WHERE what = 'start'"),
    Change("truncate a partition", "TRUNCATE event_2024"),
    Change("insert into a child of a table", "INSERT INTO dog VALUES ('lassie', 'collie')"),
    Change("delete from a parent and its children", "DELETE FROM animal"),
    Change("move a row from child to parent", (
        "DELETE FROM dog", "INSERT INTO animal VALUES ('rex')",
    )),
    Change("insert under row security", "INSERT INTO secret VALUES (current_user, 'new')"),
    Change("update a row that a policy hides from others", "UPDATE secret SET what = 'known' WHERE owner = 'somebody'"),
    Change("insert into a table of another schema", "INSERT INTO extra.thing (label) VALUES ('two')"),
    Change("turn json into another text of the same meaning", """UPDATE odd SET j = '{"a": 2}'"""),
    Change("turn NaN into a number", "UPDATE odd SET f = 0"),
    Change("turn zero into negative zero", ("UPDATE odd SET f = 0", "UPDATE odd SET f = '-0'")),
    Change("change an element of an array", "UPDATE odd SET many[1][2] = 7"),
    Change("change one byte", "UPDATE odd SET b = set_byte(b, 0, 0)"),
    Change("move a point", "UPDATE odd SET p = '(1,3)'"),
    Change("refresh a materialized view with news", (
        "INSERT INTO orders (customer_id, total) VALUES (3, 1)", "REFRESH MATERIALIZED VIEW turnover",
    )),
    Change("refresh a materialized view without news", "REFRESH MATERIALIZED VIEW turnover", content=False),
    Change("refresh a materialized view beside its readers",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY turnover", content=False),
    Change("refresh a materialized view with no data", "REFRESH MATERIALIZED VIEW turnover WITH NO DATA"),
    Change("lock rows", ("BEGIN", "SELECT * FROM customer FOR UPDATE", "COMMIT"), content=False),
    Change("lock rows for a foreign key", ("BEGIN", "SELECT * FROM customer FOR KEY SHARE", "COMMIT"),
        content=False),
    Change("write from a procedure", "CALL note('called')"),
    Change("write from a block that caught an error", (
        "DO $$ BEGIN INSERT INTO basket VALUES (1, 'kept');"
        " BEGIN INSERT INTO basket VALUES (1, 'twice'); EXCEPTION WHEN unique_violation THEN NULL; END; END $$"
    )),
    Change("commit inside a block", (
        "DO $$ BEGIN FOR n IN 1..3 LOOP INSERT INTO basket VALUES (n, 'x');"
        " IF n = 2 THEN ROLLBACK; ELSE COMMIT; END IF; END LOOP; END $$"
    )),
    Change("write with triggers and foreign keys off", (
        "SET session_replication_role = replica", "DELETE FROM customer WHERE id = 1",
    ), needs=needing("superuser")),
    Change("create a large object", "SELECT lo_from_bytea(0, 'new')"),
    Change("create an empty large object", "SELECT lo_create(4243)"),
    Change("write to a large object", _large_object),
    Change("truncate a large object", (
        "BEGIN", "SELECT lo_truncate(lo_open(4242, 131072), 3)", "COMMIT",
    )),
    Change("unlink a large object", "SELECT lo_unlink(4242)"),
    Change("write a row of a system catalog by hand", (
        "UPDATE pg_catalog.pg_class SET reloptions = '{fillfactor=50}' WHERE relname = 'basket'"
    ), needs=needing("superuser")),
]  # fmt: skip
