"""Names of databases that hurt: those that may be used work at every level, the others change nothing."""

from __future__ import annotations

import psycopg
import pytest

import freshpg
from freshpg.core.errors import BlueprintInvalid, NameInvalid, NotOurs
from freshpg.templates.blueprint import Blueprint

AWKWARD = (
    "a" * 41,
    "é" * 20,
    "🐘" * 10,
    'quo"te',
    "it's",
    "a;drop database postgres",
    "../etc",
    "-rf",
    "$(id)",
    "dbname=x host=evil",
    "postgresql://evil/x",
    "Select",
    "100%",
    "under_score%",
    " blank ",
    "cafe\u0301",
)
IMPOSSIBLE = (
    "",
    "   ",
    "a" * 42,
    "a" * 63,
    "a" * 64,
    "é" * 21,
    "a\0b",
    "new\nline",
    "esc\x1b[31m",
    "half\ud800",
    "postgres",
    "Template1",
    "replication",
    "all",
)


def test_names_that_postgresql_takes_whole_work_at_every_level(project, monkeypatch, make_manager):
    monkeypatch.chdir(project)
    blueprints = [Blueprint(f"number {n}", name, ["schema.sql"]) for n, name in enumerate(AWKWARD)]
    # Each blueprint takes control connections of its own.
    manager = make_manager(blueprints=blueprints, stock=0, settings={"max_connections": "120"})
    for blueprint in blueprints:
        for level in ("reset", "readonly"):
            with manager.lease(blueprint.name, isolation=level) as database:
                assert database.name.startswith(blueprint.database)
                with psycopg.connect(database.url) as connection:
                    row = connection.execute(
                        "SELECT current_database(), count(*) FROM customer"
                    ).fetchone()
                    assert row == (database.name, 1)
                if level == "reset":
                    with psycopg.connect(database.url) as connection:
                        connection.execute("CREATE TABLE debris (id int)")
                    assert database.reset().replaced


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=ascii)
def test_a_name_that_cannot_be_used_is_refused_before_anything_is_made(project, monkeypatch, name):
    monkeypatch.chdir(project)
    with pytest.raises(NameInvalid) as caught:
        Blueprint("main", name, ["schema.sql"])
    text = str(caught.value)
    assert text.startswith("FPG-C02 a database name cannot be used\n")
    assert "\0" not in text
    assert "\x1b" not in text
    text.encode()


def test_a_name_cut_by_postgresql_never_leads_to_another_database(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(NameInvalid), freshpg.database("schema.sql", name=f"{'x' * 63}_test"):
        pass


def test_two_blueprints_in_code_cannot_share_a_database(make_manager):
    with pytest.raises(BlueprintInvalid, match="shop_test"):
        make_manager(
            blueprints=[Blueprint("main", "shop_test", []), Blueprint("other", "shop_test", [])]
        )


@pytest.mark.parametrize("level", ["reset", "clone", "readonly"])
def test_a_database_of_somebody_else_is_left_as_it_is(admin, server, make_manager, level):
    for name in ("theirs", "theirs_2", "theirs_readonly"):
        admin.execute(f"CREATE DATABASE {name}")
        admin.execute(f"COMMENT ON DATABASE {name} IS 'precious'")
    before = facts(admin)
    manager = make_manager(
        server=server.url(),
        allow_create=True,
        databases={"main": {"name": "theirs", "migrations": ["schema.sql"]}},
    )
    with pytest.raises(NotOurs, match="theirs"):
        manager.acquire(isolation=level)
    manager.stop()
    assert before <= facts(admin)


def facts(admin):
    return set(
        admin.rows(
            "SELECT oid, datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE 'theirs%'"
        )
    )
