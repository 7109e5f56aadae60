"""The public schemas beside the project become templates on every PostgreSQL at hand."""

from pathlib import Path

import pytest

from freshpg.core.errors import ExtensionMissing, FreshpgError, MigrationFailed
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager
from freshpg.servers.discovery import providers_for, resolve

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TABLES = {
    "chinook": 11,
    "danbooru": 66,
    "lemmy": 74,
    "musicbrainz": 516,
    "musicbrainz-without-extensions": 516,
    "northwind": 14,
    "pagila": 22,
}
EXTENSIONS = {
    "danbooru": ("btree_gin", "fuzzystrmatch", "pg_trgm", "pgcrypto", "pgstattuple"),
    "lemmy": ("pgcrypto", "ltree", "pg_trgm"),
    "musicbrainz": ("cube", "earthdistance", "unaccent"),
}
NEEDS_ICU = {"musicbrainz"}
NEEDS_SUPERUSER = {"musicbrainz"}
"""It creates a function in C."""

COUNT = (
    "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)


def _at_hand():
    found = {}
    for kind in ("embedded", "system"):
        try:
            choice = resolve(providers_for(kind), ask_all=True)
        except FreshpgError:
            continue
        for binaries in (choice.binaries, *choice.others):
            found.setdefault((kind, binaries.version.major), binaries)
    return found


def _has_icu(binaries):
    """Whether the server was built with it: only then it holds the name of the function that opens a collator."""
    return b"ucol_open" in binaries.program("postgres").read_bytes()


AT_HAND = _at_hand()


@pytest.fixture(autouse=True)
def private_places(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FRESHPG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("place", AT_HAND, ids=lambda place: f"{place[0]}-{place[1]}")
def test_a_real_schema_becomes_a_template_with_all_its_tables(name, place):
    file = DATA / f"{name}.sql"
    if not file.exists():
        pytest.skip("../shared/data is absent")
    kind, major = place
    wanted = EXTENSIONS.get(name, ())
    settings = Settings(
        root=DATA,
        server=kind,
        postgres=major,
        linger=0,
        superuser=name in NEEDS_SUPERUSER,
        databases={"main": {"name": "real_test", "migrations": [file.name], "extensions": list(wanted)}},
    )  # fmt: skip
    missing = set(wanted) - AT_HAND[place].extensions
    with DatabaseManager(settings) as manager:
        if missing:
            with pytest.raises(ExtensionMissing, match=min(missing)):
                manager.acquire()
            pytest.skip(f"this PostgreSQL has no extension {', '.join(sorted(missing))}")
        if name in NEEDS_ICU and not _has_icu(AT_HAND[place]):
            with pytest.raises(MigrationFailed, match="ICU is not supported"):
                manager.acquire()
            pytest.skip("this PostgreSQL was built without ICU")
        with manager.lease(isolation="clone") as database, database.connect() as connection:
            assert connection.execute(COUNT).fetchone() == (TABLES[name],)
