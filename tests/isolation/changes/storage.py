"""What moves bytes and leaves every answer as it was."""

from isolation.changes.change import Change, needing

CHANGES = [
    Change("vacuum", "VACUUM customer", content=False),
    Change("vacuum after rows died", (
        "INSERT INTO basket SELECT n, 'x' FROM generate_series(1, 500) n", "DELETE FROM basket", "VACUUM basket",
    ), content=False),
    Change("vacuum and freeze everything", "VACUUM (FREEZE)", content=False),
    Change("vacuum into new files", "VACUUM FULL orders", content=False),
    Change("vacuum a system catalog into new files", "VACUUM FULL pg_catalog.pg_class", content=False,
        needs=needing("superuser")),
    Change("analyze", "ANALYZE", content=False),
    Change("cluster for the first time, which is noted", "CLUSTER orders USING orders_by_customer"),
    Change("cluster and take the note back", (
        "CLUSTER orders USING orders_by_customer", "ALTER TABLE orders SET WITHOUT CLUSTER",
    ), content=False),
    Change("rebuild an index", "REINDEX INDEX orders_by_customer", content=False),
    Change("rebuild an index beside its readers", "REINDEX INDEX CONCURRENTLY orders_by_customer", content=False),
    Change("rebuild the indexes of a table", "REINDEX TABLE customer", content=False),
    Change("rebuild the indexes of a schema", "REINDEX SCHEMA public", content=False),
    Change("read, so that hint bits are set", (
        "INSERT INTO basket VALUES (1, 'x')", "DELETE FROM basket", "SELECT count(*) FROM basket",
    ), content=False),
    Change("write a checkpoint", "CHECKPOINT", content=False, needs=needing("superuser")),
    Change("switch to the next segment of the log", "SELECT pg_switch_wal()", content=False,
        needs=needing("superuser")),
    Change("move a table to the tablespace it is in", "ALTER TABLE customer SET TABLESPACE pg_default", content=False),
    Change("make a table and drop it", ("CREATE TABLE passing (id int PRIMARY KEY, t text)", "DROP TABLE passing"),
        content=False),
    Change("make a table and roll back", ("BEGIN", "CREATE TABLE passing (id int)", "ROLLBACK"), content=False),
    Change("add a column and drop it", ("ALTER TABLE basket ADD passing int", "ALTER TABLE basket DROP passing"),
        content=False),
    Change("add a column and roll back", ("BEGIN", "ALTER TABLE basket ADD passing int", "ROLLBACK"), content=False),
    Change("drop an index and make it again", (
        "DROP INDEX orders_by_customer", "CREATE INDEX orders_by_customer ON orders (customer_id)",
    ), content=False),
    Change("replace a function by the same", (
        "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'"
    ), content=False),
    Change("make a temporary table and drop it", (
        "CREATE TEMP TABLE passing (id serial PRIMARY KEY, t text)", "INSERT INTO passing VALUES (1, 'x')",
        "DROP TABLE passing",
    ), content=False),
    Change("leave a temporary table to the end of its session", (
        "CREATE TEMP TABLE mine AS SELECT * FROM customer", "COMMENT ON TABLE mine IS 'x'", "ANALYZE mine",
    ), content=False),
]  # fmt: skip
