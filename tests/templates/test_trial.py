"""Nobody gets a clone of a new template before one was seen to work."""

import logging

import pytest

from freshpg.core.errors import DiskFull, ServerDied, StatementFailed, TemplateUnusable
from freshpg.templates import trial
from freshpg.templates.blueprint import Blueprint
from freshpg.templates.builder import BuildSite, TemplateBuilder
from freshpg.templates.trial import try_out

READ_ONLY = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
END $$;
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
"""


@pytest.fixture
def build(admin, server, tmp_path):
    """Build the template of one migration."""
    builder = TemplateBuilder(admin, BuildSite(own=True, tests=server.with_(user="postgres")))

    def ensure(sql):
        (tmp_path / "a.sql").write_text(sql)
        return builder.ensure(Blueprint("main", "shop_test", ("a.sql",), root=tmp_path))

    return ensure


def databases(admin):
    return [
        name for (name,) in admin.rows("SELECT datname FROM pg_database WHERE datname ~ '^shop'")
    ]


def test_a_template_that_tests_cannot_work_with_is_refused_and_nothing_of_it_is_left(
    admin, build, monkeypatch
):
    monkeypatch.setattr(trial, "_WRITE", "SELECT pg_catalog.pg_read_file(%s::text)")
    with pytest.raises(TemplateUnusable, match="permission denied") as refusal:
        build("CREATE TABLE t (id int)")
    assert "shop_test_template_" in refusal.value.on
    assert databases(admin) == []
    monkeypatch.undo()
    assert build("CREATE TABLE t (id int)").how == "built"


def test_what_tests_may_work_with_passes_whatever_its_settings(admin, build):
    template = build(READ_ONLY)
    assert databases(admin) == [template.name]


def test_a_template_is_tried_out_once(build, caplog):
    with caplog.at_level(logging.DEBUG, "freshpg"):
        assert build("CREATE TABLE t (id int)").how == "built"
        clones = [record for record in caplog.records if "left no row" in record.getMessage()]
        assert len(clones) == 2
        caplog.clear()
        assert build("CREATE TABLE t (id int)").how == "reused"
        assert not caplog.records


@pytest.mark.parametrize(
    "error, lives, raised",
    [
        (ServerDied(seen="gone"), False, ServerDied),
        (ServerDied(seen="no rights"), True, TemplateUnusable),
        (DiskFull(sqlstate="53100"), True, DiskFull),
        (StatementFailed(sqlstate="42501"), True, TemplateUnusable),
    ],
)
def test_a_failure_of_the_server_is_not_the_templates(server, error, lives, raised):
    def clone():
        raise error

    with pytest.raises(raised):
        try_out("shop", server, clone=clone, server_lives=lambda: lives)


def test_a_clone_that_keeps_what_was_written_is_no_reset(admin, server):
    admin.execute("CREATE DATABASE shop_same OWNER postgres")
    tests = server.with_(user="postgres", dbname="shop_same")
    with pytest.raises(TemplateUnusable, match="still there"):
        try_out("shop", tests, clone=lambda: None, server_lives=lambda: True)
