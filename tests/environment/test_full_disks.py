"""No space left, at every step: a typed error with figures, nothing half-made, and work again once there is room."""

from __future__ import annotations

import pytest
from environment.conftest import MB, until

BALLAST = """
import os, shutil
def fill(place, leave):
    with open(f"{place}/ballast", "wb") as ballast:
        try:
            while shutil.disk_usage(place).free > leave:
                ballast.write(bytes(min(1 << 20, max(4096, shutil.disk_usage(place).free - leave))))
                ballast.flush()
        except OSError:
            pass
"""
ATTEMPT = """
def attempt(name, act):
    try:
        told[name] = act()
    except freshpg.errors.FreshpgError as error:
        told[name] = [type(error).__name__, error.data.get("free"), error.data.get("needed")]
"""


def disk(place, size):
    return f"mount -t tmpfs -o size={size},mode=711 tmpfs {place}"


def nothing_half_made(ground):
    until(lambda: not ground.remains(), 10.0)


@pytest.mark.parametrize(
    "size", ["8m", *(pytest.param(size, marks=pytest.mark.slow) for size in ("4k", "40m"))]
)
def test_no_room_for_a_first_server(ground, size):
    told = ground.visit(mounts=disk(ground.runtime, size), FRESHPG_CACHE=ground.runtime / "cache")
    assert told.error == "DiskFull"
    assert told.data["free"] < told.data["needed"]
    nothing_half_made(ground)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4k", "1m", "5m", "12m"])
def test_no_room_for_the_image_in_the_cache_uses_the_place_beside_the_servers(ground, size):
    ground.cache.mkdir()
    ground.cache.chmod(0o711)
    told = ground.visit(mounts=disk(ground.cache, size))
    assert (told.customers, told.how) == (2, "initdb")


@pytest.mark.slow
def test_no_room_for_the_image_anywhere(ground):
    """The data directory finds room, its image does not: the disk fills up while the migration runs."""
    (ground.project / "schema.sql").write_text("CREATE TABLE customer (id serial, name text)")
    (ground.project / "fill.py").write_text(
        BALLAST + f"\ndef fill_up(connection):\n    fill({str(ground.runtime)!r}, 3 << 20)\n"
    )
    settings = ground.project / "pyproject.toml"
    settings.write_text(
        settings.read_text().replace('"schema.sql"', '"schema.sql", "call:fill:fill_up"')
    )
    told = ground.visit(mounts=disk(ground.runtime, "100m"), FRESHPG_CACHE=ground.runtime / "cache")
    assert told.error == "DiskFull", told.told
    assert told.data["free"] < 40 * MB
    nothing_half_made(ground)


@pytest.mark.slow
def test_a_migration_that_fills_the_disk(ground):
    with (ground.project / "schema.sql").open("a") as schema:
        schema.write(
            ";\nCREATE TABLE big AS SELECT repeat(md5(i::text), 200) FROM generate_series(1, 100000) i;"
        )
    told = ground.visit(mounts=disk(ground.runtime, "100m"), FRESHPG_CACHE=ground.runtime / "cache")
    assert told.error in {"DiskFull", "MigrationFailed"}
    assert "53100" in told.text or told.error == "DiskFull"
    nothing_half_made(ground)


def test_a_full_disk_stops_hand_outs_until_there_is_room_again(ground):
    ground.warm()
    told = ground.visit(
        BALLAST,
        ATTEMPT,
        f"fill({str(ground.runtime)!r}, 2 << 20)",
        "held = []",
        "take = lambda: held.append(manager.acquire(isolation='clone')) or len(held)",
        "for turn in range(4): attempt(f'full {turn}', take)",
        f"os.unlink({str(ground.runtime / 'ballast')!r})",
        # What builders remember of the full disk is told once.
        "for turn in range(3): attempt('free', take)",
        "for each in held: manager.release(each)",
        mounts=disk(ground.runtime, "200m"),
    )
    full = [told.told[f"full {turn}"] for turn in range(4)]
    refused = [one for one in full if isinstance(one, list)]
    assert refused, full
    assert {one[0] for one in refused} == {"DiskFull"}
    assert isinstance(told.free, int)
    nothing_half_made(ground)


def test_no_room_for_a_server_of_its_own_until_there_is(ground):
    ground.warm()
    told = ground.visit(
        BALLAST,
        ATTEMPT,
        "def own():\n    with manager.lease(isolation='server') as own: return own.name",
        f"fill({str(ground.runtime)!r}, 8 << 20)",
        "attempt('full', own)",
        f"os.unlink({str(ground.runtime / 'ballast')!r})",
        "attempt('free', own)",
        mounts=f"{disk(ground.runtime, '300m')}\ncp -a {ground.cache} {ground.runtime}",
        FRESHPG_CACHE=ground.runtime / "cache",
    )
    kind, free, needed = told.full
    assert (kind, free < needed) == ("DiskFull", True)
    assert told.free == "odd_test"
    nothing_half_made(ground)
