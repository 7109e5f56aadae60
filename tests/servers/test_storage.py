from __future__ import annotations

import os
from pathlib import Path

import pytest

from freshpg.core.errors import DiskFull, PathUnusable
from freshpg.servers import storage
from freshpg.servers.storage import Place

MB = 1 << 20
MEMORY, DISK = Path("/memory"), Path("/disk")


def chosen(memory, disk, needed):
    found = storage.choose_place(
        [Place(MEMORY, memory * MB, True), Place(DISK, disk * MB, False)], needed * MB
    )
    return found and found.root


@pytest.mark.parametrize(
    "memory, disk, needed, place",
    [
        (10_000, 10_000, 15, MEMORY),
        (64, 10_000, 15, DISK),  # a container's whole /dev/shm
        (109, 10_000, 15, MEMORY),  # 3 x 15 and 64 for others: exactly
        (108, 10_000, 15, DISK),
        (1_000, 10_000, 400, DISK),
        (0, 47, 15, DISK),
        (0, 46, 15, None),
        (0, 0, 0, None),
    ],
)
def test_data_goes_to_memory_when_it_fits_with_room_to_spare(memory, disk, needed, place):
    assert chosen(memory, disk, needed) == place


def test_a_server_that_fits_nowhere_is_told_with_all_places(tmp_path):
    with pytest.raises(DiskFull) as full:
        storage.place_server(1 << 60, environ={"TMPDIR": str(tmp_path)})
    assert str(tmp_path) in full.value.seen
    assert full.value.needed > 1 << 60


def test_looking_for_a_place_makes_nothing(tmp_path):
    environ = {"TMPDIR": str(tmp_path)}
    root = tmp_path / f"freshpg-{os.geteuid()}"
    assert root in {place.root for place in storage.places(environ)}
    assert list(tmp_path.iterdir()) == []
    root.symlink_to(tmp_path)
    assert root not in {place.root for place in storage.places(environ)}


def test_a_missing_root_is_made_private_whatever_the_umask(tmp_path):
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for umask in (0o000, 0o022, 0o077, 0o777):
        before = os.umask(umask)
        try:
            root = tmp_path / f"root-{umask:o}"
            storage.make_root(root)
        finally:
            os.umask(before)
        assert root.stat().st_mode & 0o777 == mode


def link(path):
    target = path.with_name("target")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def open_to_all(path):
    path.mkdir()
    path.chmod(0o777)


def open_to_group(path):
    path.mkdir()
    path.chmod(0o770)


def foreign(path):
    path.mkdir(mode=0o700)
    if os.geteuid():
        pytest.skip("giving a directory away needs root")
    os.chown(path, 65534, 65534)


def file(path):
    path.write_text("precious")


@pytest.mark.parametrize("made", [link, open_to_all, open_to_group, foreign, file])
def test_what_is_not_ours_alone_is_refused_and_left_as_it_was(tmp_path, made):
    path = tmp_path / "root"
    made(path)
    before = path.lstat()
    with pytest.raises(PathUnusable) as refused:
        storage.make_root(path)
    after = path.lstat()
    assert refused.value.path == str(path)
    assert (before.st_mode, before.st_uid, before.st_ctime_ns) == (
        after.st_mode,
        after.st_uid,
        after.st_ctime_ns,
    )


@pytest.mark.parametrize("made", [link, open_to_all, foreign])
def test_a_hostile_directory_makes_us_choose_another_place(tmp_path, made, monkeypatch):
    monkeypatch.setattr(storage, "MEMORY", tmp_path / "memory")
    for base in ("memory", "tmp"):
        (tmp_path / base).mkdir()
    hostile = tmp_path / "memory" / f"freshpg-{os.geteuid()}"
    made(hostile)
    assert storage.keeper_root({"TMPDIR": str(tmp_path / "tmp")}).parent == tmp_path / "tmp"


def test_every_process_of_one_environment_finds_the_same_keeper(tmp_path, monkeypatch):
    # The root is made by asking: the machine's own memory is no place for a test's.
    monkeypatch.setattr(storage, "MEMORY", tmp_path / "memory")
    environ = {"TMPDIR": str(tmp_path)}
    assert storage.keeper_root(environ) == storage.keeper_root(environ)


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_long_temporary_directory_keeps_data_but_not_sockets(tmp_path, letter):
    root = tmp_path / (letter * (150 // len(letter.encode())))
    place = storage.server_place(root, Path("/short"))
    assert place.directory.is_relative_to(root)
    assert place.sockets == Path("/short/sockets") / place.id
    assert place.paths == (place.directory, place.sockets)


@pytest.mark.parametrize("room, inside", [(0, True), (1, False)])
def test_the_length_of_a_socket_path_is_counted_in_bytes(room, inside):
    fixed = len("/servers/0123456789abcdef/s/.s.PGSQL.65535.lock")
    root = Path("/" + "r" * (storage.SOCKET_BYTES - fixed - 1 + room))
    place = storage.server_place(root, Path("/short"))
    assert place.sockets.is_relative_to(root) is inside


def test_a_servers_directories_are_private_and_its_sockets_belong_to_its_user(tmp_path):
    place = storage.server_place(tmp_path / "root", tmp_path)
    uid = 65534 if os.geteuid() == 0 else os.geteuid()
    (tmp_path / "root").mkdir(mode=0o700)
    place.make(uid, 65534 if os.geteuid() == 0 else os.getegid())
    assert place.directory.stat().st_mode & 0o066 == 0
    assert (place.sockets.stat().st_uid, place.sockets.stat().st_mode & 0o777) == (uid, 0o700)
    assert not place.data.exists()


def test_a_servers_directory_that_exists_already_is_refused(tmp_path):
    place = storage.server_place(tmp_path, tmp_path)
    place.directory.mkdir(parents=True)
    with pytest.raises(PathUnusable):
        place.make(os.geteuid(), os.getegid())


def test_ids_are_not_guessable():
    ids = {storage.new_server_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(server) for server in ids} == {16}


def test_the_cache_is_where_the_user_says(tmp_path):
    assert storage.cache_root({"FRESHPG_CACHE": str(tmp_path / "mine")}) == tmp_path / "mine"


def test_a_cache_that_the_user_chose_is_never_replaced_by_another(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PathUnusable):
        storage.cache_root({"FRESHPG_CACHE": str(tmp_path / "file" / "cache")})


def test_without_a_usable_home_the_cache_goes_to_disk(tmp_path, monkeypatch):
    blocked = tmp_path / "home"
    blocked.touch()
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: blocked / ".cache" / "freshpg")
    assert (
        storage.cache_root({"TMPDIR": str(tmp_path)})
        == tmp_path / f"freshpg-{os.geteuid()}" / "cache"
    )
