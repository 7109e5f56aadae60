"""The public schemas beside the project: their order holds for their rows, their reach for the server."""

import pytest

from freshpg.core.errors import ExtensionMissing, FreshpgError
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.postgres.admin import Admin
from freshpg.postgres.quoting import ident
from freshpg.postgres.schema.fk_graph import FkGraph
from freshpg.postgres.schema.outline import order_text
from freshpg.postgres.schema.reader import read_schema

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXTENSIONS = {
    "danbooru": ("btree_gin", "fuzzystrmatch", "pg_trgm", "pgcrypto", "pgstattuple"),
    "lemmy": ("pgcrypto", "ltree", "pg_trgm"),
    "musicbrainz": ("cube", "earthdistance", "unaccent"),
}
FILES = (
    "chinook",
    "danbooru",
    "lemmy",
    "musicbrainz",
    "musicbrainz-without-extensions",
    "northwind",
    "pagila",
)
MOST_TRUNCATED = 25


@pytest.fixture(params=FILES)
def inside(request, shared_data):
    """A control connection, in a transaction, inside a database of that schema."""
    name = request.param
    if not (shared_data / f"{name}.sql").exists():
        pytest.skip(f"no {name}.sql")
    settings = Settings(
        root=shared_data,
        server="system",
        linger=0,
        superuser=name == "musicbrainz",  # it creates a function in C
        databases={"main": {"name": "real_test", "migrations": [f"{name}.sql"], "extensions": list(EXTENSIONS.get(name, ()))}},
    )  # fmt: skip
    manager = DatabaseManager(settings)
    try:
        lent = manager.acquire(isolation="clone")
    except ExtensionMissing as error:
        pytest.skip(error.seen)
    except FreshpgError as error:
        if error.code == "FPG-S01":
            pytest.skip("no PostgreSQL on this machine")
        raise
    try:
        address = manager._holding.running.coordination.with_(dbname=lent.name)
        with Admin.connect(address) as admin:
            admin.execute("BEGIN")
            yield admin
    finally:
        manager.stop()


def test_rows_go_out_in_deletion_order_with_every_foreign_key_on(inside):
    schema = read_schema(inside)
    graph = FkGraph(schema)
    before = inside.value(
        "SELECT count(*) FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND oid >= 16384 AND relpersistence <> 't'"
    )
    for table in schema.tables:
        if table.kind == "r":
            inside.execute(f"ALTER TABLE {table.sql} DISABLE TRIGGER USER")
    for key in schema.foreign_keys:
        # Without one every deleted row is looked for in the whole table.
        columns = ", ".join(map(ident, key.columns))
        inside.execute(f"CREATE INDEX ON {schema.table_by_oid(key.table).sql} ({columns})")

    assert len(graph.deletion_order()) == before
    for table in graph.deletion_order():
        inside.execute(f"DELETE FROM ONLY {table.sql}")
    inside.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert order_text(graph).count("\n") > before / 2


def test_the_server_empties_what_was_foretold(inside):
    schema = read_schema(inside)
    graph = FkGraph(schema)
    reaches = {table: set(graph.reach([table])) for table in schema.tables if table.kind != "m"}
    widest = sorted(reaches, key=lambda table: -len(reaches[table]))[:MOST_TRUNCATED]
    files = "SELECT oid, relfilenode FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
    before = set(inside.rows(files))
    inside.execute("SAVEPOINT filled")

    for table in widest:
        inside.execute(f"TRUNCATE {table.sql} CASCADE")
        emptied = {oid for oid, _ in before - set(inside.rows(files))}
        inside.execute("ROLLBACK TO filled")
        assert emptied == {one.oid for one in reaches[table] if one.kind == "r"}, table.qualified
