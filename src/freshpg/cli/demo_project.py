"""A suite for ``freshpg demo`` where the examples of the checkout are not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FILES: Final = {
    "pyproject.toml": """\
[tool.freshpg.databases.main]
name = "demo_test"
migrations = ["schema.sql"]

[tool.pytest.ini_options]
markers = ["needs_freshpg: not for plain databases"]
""",
    "schema.sql": "\n".join(
        f"CREATE TABLE t{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE);"
        for number in range(30)
    ),
    "conftest.py": '''\
import os
import pathlib
import uuid

import psycopg
import pytest

if os.environ.get("SHOP_TEST_MODE") == "plain":

    @pytest.fixture
    def db():
        """The usual way: create, migrate, drop."""
        admin_url = os.environ["SHOP_ADMIN_URL"]
        name = f"plain_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
            try:
                with psycopg.connect(admin_url, dbname=name, autocommit=True) as connection:
                    connection.execute(pathlib.Path("schema.sql").read_text())
                    yield connection
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

else:

    @pytest.fixture
    def db(pg):
        """A fresh database; commits are real."""
        with pg.connect(autocommit=True) as connection:
            yield connection
''',
    "test_demo.py": """\
import pytest


@pytest.mark.parametrize("number", range(40))
def test_a_committed_row_is_the_only_one(db, number):
    db.execute("INSERT INTO t0 (name) VALUES ('the same name in every test')")
    assert db.execute("SELECT id FROM t0").fetchall() == [(1,)]
""",
}


def write_demo_project(ground: Path) -> Path:
    """Write the project below ``ground`` and return its directory."""
    project = ground / "project"
    project.mkdir()
    for name, text in _FILES.items():
        (project / name).write_text(text, encoding="utf-8")
    return project
