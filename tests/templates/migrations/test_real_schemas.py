"""Real files, piece by piece, end in the database that psql makes of them."""

import io
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from freshpg.core.clock import Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.sqlfile import SqlFile
from freshpg.templates.migrations.sqlscript import CopyIn, read_script

DATA = Path(__file__).parents[3].parent / "shared" / "data"
EXTENSIONS = {
    "danbooru": ("btree_gin", "fuzzystrmatch", "pg_trgm", "pgcrypto", "pgstattuple"),
    "lemmy": ("pgcrypto", "ltree", "pg_trgm"),
    "musicbrainz": ("cube", "earthdistance", "unaccent"),
}
NEEDS_ICU = {"musicbrainz"}
NEEDS_SUPERUSER = {"musicbrainz"}
"""It creates a function in C."""

# Made anew by every load of lemmy: identifiers, and moments.
CHANCE = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+(?:\+\d\d)?"
)
NOTHING = re.compile(r"--.*|/\*(?s:.*?)\*/|^\\(?:un)?restrict.*", re.MULTILINE)


@pytest.fixture(
    params=[
        "chinook",
        "danbooru",
        "lemmy",
        "musicbrainz",
        "musicbrainz-without-extensions",
        "northwind",
        "pagila",
    ]
)
def script(request: pytest.FixtureRequest) -> Path:
    path = DATA / f"{request.param}.sql"
    if not path.exists():
        pytest.skip("../shared/data is absent")
    return path


def program(bindir: Path, name: str, conninfo: Conninfo, *arguments: str) -> str:
    if not (bindir / name).exists():
        pytest.skip(f"{name} is absent")
    done = subprocess.run(
        [str(bindir / name), *arguments],
        env={
            "PATH": os.defpath,
            "PGOPTIONS": "-c client_min_messages=error",
            **conninfo.environment(),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert not re.search("FATAL|could not connect", done.stderr), done.stderr
    return done.stdout


def dump(bindir: Path, conninfo: Conninfo) -> list[str]:
    lines = program(bindir, "pg_dump", conninfo).splitlines()
    return [
        CHANCE.sub("?", line)
        for line in lines
        if not line.startswith(("\\restrict", "\\unrestrict"))
    ]


def prepare(admin: Admin, name: str, extensions: tuple[str, ...]) -> None:
    with Admin.connect(admin.conninfo.with_(dbname=name)) as inside:
        inside.execute("ALTER SCHEMA public OWNER TO postgres")
        for extension in extensions:
            inside.execute(f"CREATE EXTENSION {extension} WITH SCHEMA public")


@contextmanager
def another_database(target: Target, extensions: tuple[str, ...]) -> Iterator[Conninfo]:
    name = f"{target.conninfo.dbname}_psql"
    with target.admin() as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER postgres TEMPLATE template0")
        prepare(admin, name, extensions)
        yield target.conninfo.with_(dbname=name)
        admin.execute(f"DROP DATABASE {name}")


@pytest.mark.slow
def test_a_real_schema_loads_as_psql_loads_it(script: Path, bindir: Path, target: Target) -> None:
    extensions = EXTENSIONS.get(script.stem, ())
    with target.admin() as admin:
        missing = set(extensions) - {
            name for (name,) in admin.rows("SELECT name FROM pg_available_extensions")
        }
        if missing:
            pytest.skip(f"this PostgreSQL lacks {', '.join(sorted(missing))}")
        if script.stem in NEEDS_ICU and not admin.value(
            "SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'"
        ):
            pytest.skip("this PostgreSQL was built without ICU")
        prepare(admin, target.conninfo.dbname, extensions)
        if script.stem in NEEDS_SUPERUSER:
            target = replace(target, conninfo=target.conninfo.with_(user=admin.conninfo.user))
    SqlFile(str(script), target.root).apply(target, Deadline(50))
    with another_database(target, extensions) as other:
        program(bindir, "psql", other, "-X", "-q", "-f", str(script))
        theirs = dump(bindir, other)
    ours = dump(bindir, target.conninfo)
    assert ours == theirs
    assert len(ours) > 500


def test_the_pieces_of_a_real_schema_are_all_of_it(script: Path) -> None:
    rest = text = script.read_text(encoding="utf-8")
    for piece in read_script(io.BytesIO(text.encode()), script.name):
        between, found, rest = rest.partition(piece.text)
        assert found
        assert not NOTHING.sub("", between).strip(" ;\n")
        if isinstance(piece, CopyIn):
            data = b"".join(piece.data).decode()
            rest = rest.removeprefix("\n").removeprefix(data).removeprefix("\\.\n")
    assert not NOTHING.sub("", rest).strip(" ;\n")
