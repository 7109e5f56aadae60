import textwrap
from pathlib import Path

import pytest

from freshpg.core.errors import MigrationFailed, MigrationMissing, MigrationUnreadable
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.alembic import AlembicStep
from freshpg.templates.migrations.base import Target

pytest.importorskip("alembic")

INI = """
[alembic]
script_location = db/migrations
sqlalchemy.url = postgresql://nobody:secret%%40@db.invalid/production
"""
ENV = """
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision = {number!r}, {before!r}
def upgrade():
    op.execute("{statement}")
"""


def revision(root: Path, number: str, before: str | None, statement: str) -> Path:
    path = root / "db" / "migrations" / "versions" / f"{number}_change.py"
    path.write_text(REVISION.format(number=number, before=before, statement=statement))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "db" / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text(textwrap.dedent(INI))
    (tmp_path / "db" / "migrations" / "env.py").write_text(ENV)
    revision(tmp_path, "a1", None, "CREATE TABLE one (a int)")
    return tmp_path


def step(root: Path, ini: str = "alembic.ini") -> AlembicStep:
    return AlembicStep(f"alembic:{ini}", ini, root)


def test_all_heads_are_applied_to_our_database_and_no_other(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    revision(root, "b2", "a1", "CREATE TABLE two (a int)")
    revision(root, "c3", "a1", "CREATE TABLE three (a int)")
    step(root).apply(target, deadline)
    assert inside.rows("SELECT version_num FROM alembic_version ORDER BY 1") == [("b2",), ("c3",)]
    assert inside.value("SELECT count(*) FROM pg_tables WHERE tableowner = 'postgres'") == 4


@pytest.mark.slow
def test_a_revision_added_later_is_applied_on_top(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    step(root).apply(target, deadline)
    revision(root, "b2", "a1", "CREATE TABLE two AS SELECT count(*) AS before FROM one")
    step(root).apply(target, deadline)
    assert inside.value("SELECT version_num FROM alembic_version") == "b2"


def test_a_failing_revision_shows_its_file_line_statement_and_the_servers_words(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    revision(root, "b2", "a1", "ALTER TABLE nowhere ADD b int")
    with pytest.raises(MigrationFailed) as caught:
        step(root).apply(target, deadline)
    error = caught.value
    assert error.on == "db/migrations/versions/b2_change.py:5"
    assert (error.data["sqlstate"], error.data["statement"]) == (
        "42P01",
        "ALTER TABLE nowhere ADD b int",
    )
    assert 'relation "nowhere" does not exist' in error.seen


@pytest.mark.slow
def test_an_env_that_goes_to_another_database_is_found_out(
    root: Path, target: Target, deadline
) -> None:
    (root / "db" / "migrations" / "env.py").write_text("")
    with pytest.raises(MigrationFailed) as caught:
        step(root).apply(target, deadline)
    assert "DATABASE_URL" in caught.value.todo[1]


@pytest.mark.slow
def test_paths_beside_the_ini_file_are_found(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    (root / "alembic.ini").unlink()
    (root / "db" / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    one = step(root, "db/alembic.ini")
    assert [name.name for name in one.inputs().history] == ["db/migrations/versions/a1_change.py"]
    one.apply(target, deadline)
    assert inside.value("SELECT version_num FROM alembic_version") == "a1"


def test_revisions_are_a_history_and_the_rest_is_fixed(root: Path) -> None:
    before = step(root).inputs()
    assert [one.name for one in before.fixed] == [
        "alembic:alembic.ini",
        "alembic.ini",
        "db/migrations/env.py",
    ]
    revision(root, "b2", "a1", "SELECT 1")
    after = step(root).inputs()
    assert after.fixed == before.fixed
    assert set(before.history) < set(after.history)


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(MigrationMissing):
        step(root, "nothing.ini").inputs()
    (root / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")
    with pytest.raises(MigrationMissing) as caught:
        step(root).inputs()
    assert "nowhere" in caught.value.seen


@pytest.mark.parametrize("text", ["", "[alembic]\n", "nonsense"])
def test_an_ini_file_that_says_too_little_is_refused(root: Path, text: str) -> None:
    (root / "alembic.ini").write_text(text)
    with pytest.raises(MigrationUnreadable):
        step(root).inputs()
