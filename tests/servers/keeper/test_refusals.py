import json
import os
import socket

import pytest
from keeper_world import until

from freshpg.core.errors import KeeperRefused
from freshpg.servers.keeper import remains


def raw(world):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(world.root / "keeper.sock"))
    return connection


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc/passwd",
        "{root}",
        "{root}/servers",
        "{root}/servers/../../x/y",
        "servers/x",
        "{root}/a/./b",
        "{root}x/a/b",
    ],
)
def test_only_what_lies_two_levels_below_a_root_can_be_claimed(world, keeper, path):
    with pytest.raises(KeeperRefused) as refused:
        keeper.claim([path.format(root=world.root)])
    assert refused.value.kind == "outside"
    assert keeper.status()["clients"][0]["claims"] == []


def test_a_further_root_must_be_ours_alone(world):
    ours, open_one, link = world.base / "ours", world.base / "open", world.base / "link"
    ours.mkdir(mode=0o700)
    open_one.mkdir()
    open_one.chmod(0o777)
    link.symlink_to(ours)
    with world.connect(roots=[ours, open_one, link]) as keeper:
        assert keeper.status()["roots"] == sorted([str(ours), str(world.root)])


def test_a_claimed_link_goes_and_its_target_stays(world, keeper):
    target, shelf = world.base / "precious", world.root / "servers"
    target.mkdir()
    (target / "file").touch()
    shelf.mkdir(mode=0o700)
    (shelf / "link").symlink_to(target)
    directory = shelf / "directory"
    directory.mkdir()
    (directory / "inner").symlink_to(target)
    with world.connect() as other:
        other.claim([shelf / "link", directory])
    until(lambda: not directory.exists() and not (shelf / "link").is_symlink())
    assert (target / "file").exists()


def test_a_linked_parent_is_not_followed(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (elsewhere / "victim").mkdir(parents=True)
    root.mkdir()
    (root / "servers").symlink_to(elsewhere)
    complaints = remains.remove_path(f"{root}/servers/victim", [str(root)])
    assert len(complaints) == 1
    assert (elsewhere / "victim").exists()


def test_what_lies_where_others_may_write_stays(tmp_path):
    victim = tmp_path / "servers" / "x"
    victim.mkdir(parents=True)
    victim.parent.chmod(0o777)
    complaints = remains.remove_path(str(victim), [str(tmp_path)])
    assert "not ours alone" in complaints[0]
    assert victim.exists()
    victim.parent.chmod(0o755)
    assert remains.remove_path(str(victim), [str(tmp_path)]) == []
    assert not victim.exists()


def test_claimed_paths_can_be_discarded_at_once(world, keeper):
    half_made = world.root / "servers" / "half"
    keeper.claim([half_made])
    (half_made / "deep").mkdir(parents=True)
    assert keeper.discard([half_made]) == []
    assert not half_made.exists()
    assert keeper.status()["clients"][0]["claims"] == []
    with pytest.raises(KeeperRefused):
        keeper.discard([world.root / "servers" / "never-claimed"])


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"id": 1}',
        b'{"id": 1, "verb": "destroy"}',
        b'{"id": 1, "verb": "release"}',
        b'{"id": 1, "verb": "claim", "paths": 3}',
        b'{"id": 1, "verb": "release", "server": []}',
        b"\xff\xfe",
    ],
)
def test_a_misspoken_request_is_answered_and_harms_nobody(world, keeper, line):
    with raw(world) as connection:
        connection.sendall(line + b"\n")
        assert json.loads(connection.recv(65536))["error"] == "misspoken"
    assert keeper.status()["servers"] == []


def test_a_request_may_come_in_pieces(world, keeper):
    with raw(world) as connection:
        for byte in b'{"id": 7, "verb": "status"}\n':
            connection.sendall(bytes([byte]))
        assert json.loads(connection.recv(65536))["id"] == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_is_cut_off_even_if_the_socket_lets_it_in(world, keeper):
    (world.root / "keeper.sock").chmod(0o666)
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            with raw(world) as connection:
                connection.sendall(b'{"id": 1, "verb": "status"}\n')
                os._exit(len(connection.recv(65536)))
        except ConnectionError:
            os._exit(0)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert keeper.status()["servers"] == []


def test_the_socket_and_its_directory_are_private(world, keeper):
    assert (world.root / "keeper.sock").stat().st_mode & 0o077 == 0
    assert world.root.stat().st_mode & 0o066 == 0
