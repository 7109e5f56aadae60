from __future__ import annotations

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import threading
from types import SimpleNamespace

import psycopg
import pytest
from servers.postmasters import running

from freshpg.core.clock import Deadline
from freshpg.core.errors import ImageInvalid, PathUnusable, WaitTimedOut
from freshpg.servers.images import ImageStore, image_key
from freshpg.servers.images.pack import read_index

# Python 3.11.2 does not know filters.
FILTER = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
BUILD = "0123456789abcdef"


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def little_store(ground, clock):
    return ImageStore(ground / "cache", clock=clock)


@pytest.fixture
def little_cluster(ground):
    """The least that passes for a data directory that was shut down."""
    return make_cluster(ground / "little")


def make_cluster(directory, *, state=1, system=7):
    for name in (
        "base/1",
        "global",
        "pg_wal",
        "pg_stat",
        "pg_stat_tmp",
        "pg_notify",
        "pg_subtrans",
    ):
        (directory / name).mkdir(parents=True)
    for name in ("pg_snapshots", "pg_serial", "pg_dynshmem"):
        (directory / name).mkdir()
    head = struct.pack("=QIIi4xqQQI", system, 1800, 202506291, state, 0, 40, 40, 1)
    (directory / "global/pg_control").write_bytes(head.ljust(8192, b"\0"))
    (directory / "base/1/16384").write_bytes(os.urandom(3 * 8192))
    (directory / "base/1/16385").touch()
    (directory / "PG_VERSION").write_text("18\n")
    return directory


def seal(store, directory, key="a" * 24, **about):
    return store.seal(key, directory, build_id=BUILD, version="18.6", **about)


def tree(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def test_a_copy_equals_what_was_sealed(little_store, little_cluster, ground):
    image = seal(little_store, little_cluster)
    little_store.copy_to(image, ground / "copy")
    assert tree(ground / "copy") == tree(little_cluster)


def test_a_copy_is_private_whatever_the_umask(little_store, little_cluster, ground):
    image = seal(little_store, little_cluster)
    before = os.umask(0)
    try:
        little_store.copy_to(image, ground / "copy")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (ground / "copy").rglob("*")}
    assert modes == {0o600, 0o700}
    assert stat.S_IMODE((ground / "copy").stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_copy_belongs_to_the_user_who_runs_it(little_store, little_cluster, ground, run_as):
    little_store.copy_to(seal(little_store, little_cluster), ground / "copy", run_as)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (ground / "copy").rglob("*")}
    assert owners | {((ground / "copy").stat().st_uid, (ground / "copy").stat().st_gid)} == {
        (run_as.uid, run_as.gid)
    }


def test_equal_files_are_stored_once(little_store, little_cluster):
    content = os.urandom(64 * 8192)
    for name in ("16390", "16391", "16392"):
        (little_cluster / "base/1" / name).write_bytes(content)
    manifest = seal(little_store, little_cluster).manifest
    assert manifest.data_bytes > 3 * len(content)
    assert manifest.pack_bytes < 2 * len(content)


def test_a_file_larger_than_any_buffer_comes_back_whole(little_store, little_cluster, ground):
    (little_cluster / "base/1/16390").write_bytes(os.urandom((3 << 20) + 5))
    little_store.copy_to(seal(little_store, little_cluster), ground / "copy")
    assert tree(ground / "copy") == tree(little_cluster)


def test_an_existing_target_is_not_touched(little_store, little_cluster, ground):
    image = seal(little_store, little_cluster)
    (ground / "copy").mkdir()
    (ground / "copy/mine").touch()
    with pytest.raises(FileExistsError):
        little_store.copy_to(image, ground / "copy")
    assert [path.name for path in (ground / "copy").iterdir()] == ["mine"]


def test_a_sealed_image_is_found_by_another_process(little_store, little_cluster, ground):
    sealed = seal(
        little_store, little_cluster, facts={"note": ["é", 1]}, templates={"main": "shop"}
    )
    assert ImageStore(ground / "cache").find(sealed.key, BUILD) == sealed


def test_an_unknown_key_is_not_found(little_store):
    assert little_store.find("b" * 24, BUILD) is None


def damage_a_byte(image):
    with (image.directory / "data.pack").open("r+b") as pack:
        pack.seek(5000)
        byte = pack.read(1)
        pack.seek(5000)
        pack.write(bytes([byte[0] ^ 1]))


def cut_short(image):
    os.truncate(image.directory / "data.pack", 4096)


def lose_the_pack(image):
    (image.directory / "data.pack").unlink()


def let_others_write(image):
    (image.directory / "data.pack").chmod(0o666)


def open_the_directory(image):
    image.directory.chmod(0o770)


def put_a_link(image):
    outside = image.directory.parent / "outside"
    (image.directory / "data.pack").rename(outside)
    (image.directory / "data.pack").symlink_to(outside)


def mark_as_running(image):
    with (image.directory / "data.pack").open("r+b") as pack:
        pack.seek(image.manifest.control_offset + 16)
        pack.write(struct.pack("=i", 6))


@pytest.mark.parametrize(
    "harm",
    [
        damage_a_byte,
        cut_short,
        lose_the_pack,
        let_others_write,
        open_the_directory,
        put_a_link,
        mark_as_running,
    ],
)
def test_a_harmed_image_is_not_used_and_removed(little_store, little_cluster, harm):
    image = seal(little_store, little_cluster)
    harm(image)
    assert little_store.find(image.key, BUILD) is None
    assert not image.directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_image_of_another_user_is_not_used(little_store, little_cluster, run_as):
    image = seal(little_store, little_cluster)
    os.chown(image.directory / "data.pack", run_as.uid, run_as.gid)
    assert little_store.find(image.key, BUILD) is None


def test_an_image_of_another_build_is_not_used(little_store, little_cluster):
    image = seal(little_store, little_cluster)
    assert little_store.find(image.key, "fedcba9876543210") is None


def test_a_manifest_of_a_later_format_is_not_read(little_store, little_cluster):
    image = seal(little_store, little_cluster)
    manifest = image.directory / "image.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    assert little_store.find(image.key, BUILD) is None


def test_an_image_survives_a_ci_cache(little_store, little_cluster, ground):
    image = seal(little_store, little_cluster)
    with tarfile.open(ground / "cache.tar", "w") as archive:
        archive.add(ground / "cache", "cache")
    (ground / "restored").mkdir()
    with tarfile.open(ground / "cache.tar") as archive:
        archive.extractall(ground / "restored", **FILTER)
    restored = ImageStore(ground / "restored/cache")
    found = restored.find(image.key, BUILD)
    restored.copy_to(found, ground / "copy")
    assert tree(ground / "copy") == tree(little_cluster)


def test_damage_on_the_way_through_a_ci_cache_is_found(little_store, little_cluster, ground):
    image = seal(little_store, little_cluster)
    (ground / "cache").rename(ground / "restored")
    pack = ground / "restored/images" / image.key / "data.pack"
    content = bytearray(pack.read_bytes())
    content[5000] ^= 1
    pack.unlink()
    pack.write_bytes(content)
    pack.chmod(0o600)
    assert ImageStore(ground / "restored").find(image.key, BUILD) is None


def test_names_that_lead_out_of_the_copy_are_refused(little_store, little_cluster):
    image = seal(little_store, little_cluster)
    pack = image.directory / "data.pack"
    content = pack.read_bytes()
    pack.write_bytes(content.replace(b'"PG_VERSION"', b'"../ERSION_"'))
    with pack.open("rb") as opened, pytest.raises(ImageInvalid, match="outside of it"):
        read_index(opened.fileno())


def test_a_cluster_that_was_not_shut_down_is_not_sealed(little_store, ground):
    with pytest.raises(ImageInvalid, match="in production"):
        seal(little_store, make_cluster(ground / "running", state=6))
    assert little_store.list() == []


def test_a_tablespace_is_not_sealed_and_leaves_no_draft(little_store, little_cluster, ground):
    (little_cluster / "pg_tblspc").mkdir()
    (little_cluster / "pg_tblspc/16400").symlink_to("/somewhere")
    with pytest.raises(ImageInvalid, match="pg_tblspc/16400 -> /somewhere"):
        seal(little_store, little_cluster)
    assert list((ground / "cache/images").iterdir()) == []


def test_the_second_to_seal_a_key_gets_the_first_ones_image(little_store, ground):
    first = seal(little_store, make_cluster(ground / "one", system=1))
    second = seal(little_store, make_cluster(ground / "two", system=2))
    assert second == first
    assert len(little_store.list()) == 1


SEALER = """
import os, signal, sys
from pathlib import Path
from freshpg.servers.images import ImageStore, drafts
from freshpg.servers.images.manifest import Manifest

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr({"pack": drafts, "manifest": Manifest, "rename": Path}[sys.argv[3]],
        {"pack": "remember_verified", "manifest": "to_json", "rename": "rename"}[sys.argv[3]], die)
ImageStore(Path(sys.argv[1])).seal("a" * 24, Path(sys.argv[2]), build_id="0123456789abcdef", version="18.6")
"""


@pytest.mark.parametrize("step", ["pack", "manifest", "rename"])
def test_an_image_whose_maker_was_killed_is_never_seen_and_swept(
    little_store, little_cluster, ground, step
):
    command = [sys.executable, "-c", SEALER, str(ground / "cache"), str(little_cluster), step]
    ended = subprocess.run(command, check=False, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert ended.returncode == -signal.SIGKILL
    assert [path.name[:5] for path in (ground / "cache/images").iterdir()] == [".tmp-"]
    assert little_store.find("a" * 24, BUILD) is None
    little_store.collect(max_count=9, max_bytes=1 << 40, max_age=1e9)
    assert list((ground / "cache/images").iterdir()) == []
    assert seal(little_store, little_cluster) == little_store.find("a" * 24, BUILD)


def test_a_living_makers_draft_is_not_swept(little_store, little_cluster, ground, monkeypatch):
    from freshpg.servers.images import drafts

    def sweep_meanwhile(directory, pack):
        ImageStore(ground / "cache").collect(max_count=9, max_bytes=1 << 40, max_age=1e9)

    monkeypatch.setattr(drafts, "remember_verified", sweep_meanwhile)
    assert seal(little_store, little_cluster) == little_store.find("a" * 24, BUILD)


def test_of_many_who_want_an_image_one_makes_it(ground):
    made, got = [], []
    start = threading.Barrier(6)

    def want(number):
        store = ImageStore(ground / "cache")

        def make():
            made.append(number)
            return seal(store, make_cluster(ground / f"cluster-{number}"))

        start.wait()
        got.append(store.ensure("a" * 24, BUILD, make, deadline=Deadline(20.0)))

    threads = [threading.Thread(target=want, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({image.manifest.created for image in got}) == 1


def test_who_waits_for_an_image_hears_for_whom_and_for_how_long(little_store, clock):
    heard = []
    with (
        little_store.building("a" * 24, Deadline(5.0)),
        pytest.raises(WaitTimedOut) as caught,
        little_store.building("a" * 24, Deadline(2.5, clock), heard.append),
    ):
        pytest.fail("two hold one lock")
    assert heard == [
        f"waiting for process {os.getpid()}, which makes the same image ({seconds} s)"
        for seconds in (1, 2)
    ]
    assert caught.value.holder == str(os.getpid())


def test_a_dead_makers_lock_is_free_at_once(little_store, ground):
    command = (
        "import sys, time; from pathlib import Path; from freshpg.core.clock import Deadline;"
        "from freshpg.servers.images import ImageStore;"
        "lock = ImageStore(Path(sys.argv[1])).building('a' * 24, Deadline(5.0)); lock.__enter__();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", command, str(ground / "cache")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(WaitTimedOut), little_store.building("a" * 24, Deadline(0.0)):
        pytest.fail("two hold one lock")
    holder.kill()
    holder.communicate()
    with little_store.building("a" * 24, Deadline(0.0)):
        pass


def test_a_failed_maker_leaves_the_next_one_free(little_store, little_cluster):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        little_store.ensure("a" * 24, BUILD, fail, deadline=Deadline(5.0))
    image = little_store.ensure(
        "a" * 24, BUILD, lambda: seal(little_store, little_cluster), deadline=Deadline(5.0)
    )
    assert little_store.find("a" * 24, BUILD) == image


def test_the_longest_beginning_of_the_migrations_is_found(little_store, little_cluster):
    seal(little_store, little_cluster, "1" * 24, chains={"main": ["a"]})
    seal(little_store, little_cluster, "2" * 24, chains={"main": ["a", "b"]})
    seal(little_store, little_cluster, "3" * 24, chains={"main": ["a", "x", "y"]})
    seal(little_store, little_cluster, "4" * 24, chains={"main": ["a", "b"], "other": ["c"]})
    seal(little_store, little_cluster, "5" * 24)
    best = little_store.best_prefix({"main": ["a", "b", "c"]}, BUILD)
    assert best.key == "2" * 24
    assert little_store.best_prefix({"main": ["z"]}, BUILD) is None
    assert little_store.best_prefix({"main": ["a", "b", "c"]}, "another build") is None


def three_images(store, cluster, clock):
    for number in "123":
        seal(store, cluster, number * 24)
        store.touch(store.find(number * 24, BUILD))
        clock.now += 100
    return SimpleNamespace(size=store.list()[0].manifest.pack_bytes)


@pytest.mark.parametrize(
    "bounds,left",
    [
        ({}, "321"),
        ({"max_count": 2}, "32"),
        ({"max_age": 150}, "3"),
        ({"max_count": 1, "protect": {"1" * 24}}, "1"),
        ({"max_count": 0}, ""),
    ],
)
def test_the_least_recently_used_images_go(little_store, little_cluster, clock, bounds, left):
    three_images(little_store, little_cluster, clock)
    everything = {"max_count": 9, "max_bytes": 1 << 40, "max_age": 1e9}
    removed = little_store.collect(**everything | bounds)
    assert "".join(image.key[0] for image in little_store.list()) == left
    assert len(removed) == 3 - len(left)


def test_images_stay_below_a_size(little_store, little_cluster, clock):
    images = three_images(little_store, little_cluster, clock)
    little_store.collect(max_count=9, max_bytes=2 * images.size, max_age=1e9)
    assert "".join(image.key[0] for image in little_store.list()) == "32"


def test_use_is_remembered(little_store, little_cluster, clock, ground):
    three_images(little_store, little_cluster, clock)
    little_store.copy_to(little_store.find("1" * 24, BUILD), ground / "copy")
    assert little_store.list()[0].key == "1" * 24


def test_a_lock_file_nobody_needs_goes(little_store, ground):
    with little_store.building("a" * 24, Deadline(5.0)):
        little_store.collect(max_count=9, max_bytes=1 << 40, max_age=1e9)
        assert len(list((ground / "cache/images").iterdir())) == 1
    little_store.collect(max_count=9, max_bytes=1 << 40, max_age=1e9)
    assert list((ground / "cache/images").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_read_and_the_fallback_written(little_cluster, ground):
    (ground / "file").touch()
    store = ImageStore(ground / "file" / "cache", fallback=ground / "runtime")
    made = store.ensure(
        "a" * 24, BUILD, lambda: seal(store, little_cluster), deadline=Deadline(5.0)
    )
    assert made.directory.is_relative_to(ground / "runtime")
    readable = ImageStore(ground / "runtime", fallback=ground / "elsewhere")
    assert readable.find("a" * 24, BUILD) == made


def test_no_place_to_write_is_an_error_that_names_them(little_cluster, ground):
    (ground / "file").touch()
    with pytest.raises(PathUnusable, match="FRESHPG_CACHE"):
        seal(ImageStore(ground / "file" / "cache"), little_cluster)


def test_a_key_depends_on_every_part_and_their_order():
    keys = {image_key(*parts) for parts in (("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""), ())}
    assert len(keys) == 5


def test_a_server_starts_from_a_copy_and_from_an_image_made_of_that(
    binaries, base_image, store, ground, run_as
):
    store.copy_to(base_image, ground / "first", run_as)
    with (
        running(binaries, ground / "first", run_as) as conninfo,
        psycopg.connect(**conninfo.keywords(), autocommit=True) as connection,
    ):
        connection.execute("CREATE DATABASE shop TEMPLATE template1 STRATEGY file_copy")
    own = ImageStore(ground / "cache")
    image = own.seal("c" * 24, ground / "first", build_id=binaries.build_id, version="x")
    own.copy_to(own.find("c" * 24, binaries.build_id), ground / "second", run_as)
    with (
        running(binaries, ground / "second", run_as) as conninfo,
        psycopg.connect(**conninfo.with_(dbname="shop").keywords()) as connection,
    ):
        system = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert str(system[0]) == image.manifest.system_identifier
