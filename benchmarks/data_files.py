"""Real schemas: seconds to load, milliseconds to clone, bytes, on every PostgreSQL at hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks.inside import running
from benchmarks.rows import Row
from benchmarks.sampling import Sample, seconds
from freshpg.core.errors import FreshpgError
from freshpg.manager import DatabaseManager
from freshpg.servers import storage
from freshpg.servers.discovery import providers_for, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.ground import Ground
    from freshpg.servers.binaries import Binaries

NAME = "real schemas"
DATA = Path(__file__).parents[2] / "shared" / "data"
EXTENSIONS = {
    "danbooru": ("btree_gin", "fuzzystrmatch", "pg_trgm", "pgcrypto", "pgstattuple"),
    "lemmy": ("pgcrypto", "ltree", "pg_trgm"),
    "musicbrainz": ("cube", "earthdistance", "unaccent"),
}
# They create functions in C.
SUPERUSER = {"musicbrainz"}


def run(ground: Ground, *, quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    files = sorted(DATA.glob("*.sql"))
    if not files:
        yield Row(NAME, "every file", skipped="../shared/data is absent")
        return
    for binaries in installations():
        for file in files[:1] if quick else files:
            yield from _load(ground, binaries, file, 2 if quick else 11)


def installations() -> list[Binaries]:
    """Return the newest of every major version that the providers find."""
    found: dict[int, Binaries] = {}
    for kind in ("embedded", "system"):
        try:
            choice = resolve(providers_for(kind, cache_root=storage.cache_root()), ask_all=True)
        except FreshpgError:
            continue
        for binaries in (choice.binaries, *choice.others):
            if binaries is not None:
                found.setdefault(binaries.version.major, binaries)
    return [found[major] for major in sorted(found)]


def _load(ground: Ground, binaries: Binaries, file: Path, rounds: int) -> Iterator[Row]:
    condition = f"PostgreSQL {binaries.version} ({binaries.origin})"
    missing = sorted(set(EXTENSIONS.get(file.stem, ())) - binaries.extensions)
    if missing:
        yield Row(
            NAME, file.name, condition, skipped=f"this build has no extension {', '.join(missing)}"
        )
        return
    project = ground.project(
        file.read_text(encoding="utf-8"),
        server="system" if binaries.origin == "system" else "embedded",
        postgres=binaries.version.major,
        extensions=list(EXTENSIONS.get(file.stem, ())),
        superuser=file.stem in SUPERUSER,
        isolation="clone",
    )
    manager = DatabaseManager.from_project(project)
    built: list[float] = []
    manager.events.subscribe(
        lambda event: built.append(event.seconds) if getattr(event, "how", "") == "built" else None
    )
    try:
        began = time.perf_counter()
        with manager:
            first = time.perf_counter() - began
            manager.release(manager.acquire())
            yield from _rows(manager, file, condition, built or [first], rounds)
    except FreshpgError as error:
        yield Row(
            NAME, file.name, condition, skipped=" ".join(error.seen.split())[:160] or str(error)
        )


def _rows(
    manager: DatabaseManager, file: Path, condition: str, built: list[float], rounds: int
) -> Iterator[Row]:
    address = running(manager).coordination
    with psycopg.connect(**address.keywords(), autocommit=True) as admin:
        row = admin.execute(
            "SELECT datname, pg_database_size(oid) FROM pg_database WHERE datname LIKE 'bench_test_template_%'"
        ).fetchone()
        assert row is not None
        size = int(row[1])

        def clone() -> float:
            taken = seconds(
                lambda: admin.execute(f"CREATE DATABASE timed TEMPLATE {row[0]} STRATEGY FILE_COPY")
            )
            admin.execute("DROP DATABASE timed")
            return 1000 * taken

        clones = Sample.of(clone() for _ in range(rounds))
    extra = {"size_bytes": size}
    megabytes = f"{size / 2**20:.0f} MB"
    yield Row(
        NAME,
        f"{file.name}: build the template",
        condition,
        "s",
        Sample.of(built[-1:]),
        megabytes,
        extra=extra,
    )
    yield Row(NAME, f"{file.name}: clone", condition, "ms", clones, megabytes, extra=extra)
