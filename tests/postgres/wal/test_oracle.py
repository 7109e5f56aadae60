"""The same answer as PostgreSQL's own reader of WAL gives, on whatever a random run of statements wrote."""

import random
import re
from contextlib import suppress

import pytest
from postgres_server import running_server
from wal_ledger import Ledger

from freshpg.core.errors import StatementFailed
from freshpg.postgres.admin import Admin

CHANGES = re.compile(r"(INSERT|DELETE|UPDATE|HOT_UPDATE|HEAP_CONFIRM|MULTI_INSERT)(\+INIT)?")
BLOCK = re.compile(r"rel (\d+)/(\d+)/(\d+) (?:fork (\w+) )?blk")

STATEMENTS = (
    "INSERT INTO a SELECT i, md5(i::text) FROM generate_series({n}, {n} + 40) i ON CONFLICT DO NOTHING",
    "INSERT INTO b (word) VALUES (repeat('long', {n}))",
    "INSERT INTO b (word) SELECT string_agg(md5(i::text), '') FROM generate_series(1, {n}) i",
    "UPDATE a SET word = word || 'x' WHERE id % 7 = {n} % 7",
    "UPDATE b SET id = id + 1000 WHERE id < {n}",
    "DELETE FROM a WHERE id < {n}",
    "SELECT * FROM a WHERE id < {n} FOR UPDATE",
    "SELECT setval('b_id_seq', {n})",
    "SELECT lo_from_bytea(0, repeat('o', {n})::bytea)",
    "VACUUM a",
    "VACUUM (FREEZE) b",
    "ANALYZE",
    "CHECKPOINT",
    "REINDEX TABLE a",
    "CLUSTER a USING a_pkey",
    "CREATE INDEX ON a USING gin (to_tsvector('simple', word))",
    "TRUNCATE b",
    "ALTER TABLE a ADD COLUMN c{n} int",
    "CREATE TABLE IF NOT EXISTS d{n} AS SELECT * FROM a",
    "CREATE TEMP TABLE IF NOT EXISTS brief AS SELECT 1 AS one",
    "BEGIN; INSERT INTO a VALUES (-{n}, 'r'); SAVEPOINT s; DELETE FROM b; ROLLBACK",
    "COMMENT ON TABLE a IS '{n}'",
    """DO $$ BEGIN FOR i IN 1..30 LOOP BEGIN INSERT INTO a VALUES (1, 'd');
       EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP; END $$""",
)


def by_postgresql(admin, start, end, database):
    """Return the same as the reader does: files of relations, sequences and shared relations."""
    relations, sequences, shared = set(), set(), set()
    lsn = "{:X}/{:X}".format
    for manager, kind, blocks in admin.rows(
        "SELECT resource_manager, record_type, block_ref FROM pg_get_wal_records_info(%s, %s)",
        [lsn(start >> 32, start & 0xFFFFFFFF), lsn(end >> 32, end & 0xFFFFFFFF)],
    ):
        found = {
            (int(owner), int(file))
            for _, owner, file, fork in BLOCK.findall(blocks or "")
            if fork in {"", "main"}
        }
        if manager == "Sequence":
            sequences |= {file for owner, file in found if owner == database}
        elif (manager.startswith("Heap") and CHANGES.fullmatch(kind)) or (manager, kind) == (
            "XLOG",
            "FPI",
        ):
            relations |= {file for owner, file in found if owner == database}
            shared |= {file for owner, file in found if owner == 0}
    return relations, sequences, shared


def compare(ledger, seed, rounds):
    """Run random statements; return how much of what was written names a table."""
    if not ledger.admin.value("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_walinspect'"):
        pytest.skip("the server comes without pg_walinspect")
    ledger.admin.execute(
        "CREATE EXTENSION pg_walinspect; CREATE TABLE a (id int PRIMARY KEY, word text);"
        "CREATE TABLE b (id serial PRIMARY KEY, word text)"
    )
    rng = random.Random(seed)
    seen = 0
    for _ in range(rounds):
        statements = rng.choices(STATEMENTS, k=3)

        def act(statements=statements):
            for statement in statements:
                # A key that exists is work rolled back: it is written to WAL all the same.
                with suppress(StatementFailed):
                    ledger.admin.execute(statement.format(n=rng.randrange(1, 300)))

        start, end = ledger.around(act)
        touched = ledger.read(start, end)
        expected = by_postgresql(ledger.admin, start, end, ledger.database)
        assert (touched.relations, touched.sequences, touched.shared) == expected
        seen += bool(touched.relations)
    return seen


@pytest.mark.parametrize("seed", range(2))
def test_the_answer_is_that_of_postgresql(ledger, seed):
    assert compare(ledger, seed, 12)


KEEPING = {"wal_keep_size": "512MB", "max_wal_size": "2GB"}
SMALL_SEGMENTS = ("--wal-segsize=1", "--data-checksums")
SERVERS = {
    "images of pages": (SMALL_SEGMENTS, {"full_page_writes": "on", "wal_log_hints": "on"}),
    "compressed images": ((), {"full_page_writes": "on", "wal_compression": "pglz"}),
    "minimal": (SMALL_SEGMENTS, {"wal_level": "minimal", "max_wal_senders": "0"}),
    "logical": (
        (),
        {"wal_level": "logical", "track_commit_timestamp": "on", "full_page_writes": "on"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("initdb_options, settings", SERVERS.values(), ids=SERVERS)
def test_the_answer_is_that_of_postgresql_on_every_kind_of_server(settings, initdb_options):
    with (
        running_server(*initdb_options, **(KEEPING | settings)) as conninfo,
        Admin.connect(conninfo) as admin,
    ):
        ledger = Ledger(admin)
        assert compare(ledger, 7, 40) > 10
        ledger.local.close()
