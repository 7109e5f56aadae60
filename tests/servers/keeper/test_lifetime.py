import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from keeper_world import Remains, runs, until

from freshpg.core.errors import KeeperFailed
from freshpg.servers.keeper.client import Keeper


def test_many_clients_at_once_find_one_keeper(world):
    found, gate = [], threading.Barrier(8)

    def connect():
        gate.wait()
        found.append(world.connect())

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({keeper.pid for keeper in found}) == 1
    assert len(found) == 8
    for keeper in found:
        keeper.close()


def test_with_nothing_to_keep_it_leaves_and_takes_its_files_along(world):
    with world.connect() as keeper:
        pid = keeper.pid
    until(lambda: not runs(pid), 3.0)
    assert not world.root.exists()


def test_a_client_that_comes_while_it_leaves_is_served(world):
    for _ in range(3):
        with world.connect() as keeper:
            pid = keeper.pid
        until(lambda: not (world.root / "keeper.sock").exists(), 3.0)
        with world.connect() as next_one:
            assert next_one.pid != pid
            assert next_one.status()["servers"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_ends_all_servers_first(world, keeper, number):
    owned, warm = world.start(keeper), world.start(keeper)
    lefts = [Remains.of(owned), Remains.of(warm)]
    warm.release(linger=60)
    os.kill(keeper.pid, number)
    until(lambda: not runs(keeper.pid), 2.0)
    assert [left.left() for left in lefts] == [[], []]
    assert not world.root.exists()
    assert not keeper.alive


def test_a_dead_keepers_socket_is_replaced(world):
    world.root.mkdir(mode=0o700)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(world.root / "keeper.sock"))
    stale.close()
    with world.connect() as keeper:
        assert runs(keeper.pid)


def test_the_keeper_inherits_neither_descriptors_nor_environment_nor_session(world, monkeypatch):
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    with world.connect() as keeper:
        targets = {str(path.readlink()) for path in Path(f"/proc/{keeper.pid}/fd").iterdir()}
        assert str(Path(f"/proc/self/fd/{writer}").readlink()) not in targets
        assert b"SECRET_OF_MINE" not in Path(f"/proc/{keeper.pid}/environ").read_bytes()
        assert os.getsid(keeper.pid) != os.getsid(0)
        assert os.getpgid(keeper.pid) != os.getpgid(0)
    os.close(reader)
    os.close(writer)


def test_the_keeper_is_small(world, keeper):
    world.start(keeper).release(linger=0)
    rollup = Path(f"/proc/{keeper.pid}/smaps_rollup").read_text()
    kilobytes = int(rollup.partition("\nPss:")[2].split()[0])
    assert kilobytes < 9 * 1024


def test_looking_for_a_keeper_starts_none(world):
    assert Keeper.find(world.root) is None
    assert not world.root.exists()


@pytest.mark.parametrize(
    "executable, seen",
    [
        ("/bin/false", "returned 1"),
        ("/no/python", "/no/python: No such file"),
        ("", "no interpreter"),
    ],
)
def test_an_interpreter_that_does_not_run_is_told(world, monkeypatch, executable, seen):
    monkeypatch.setattr("sys.executable", executable)
    with pytest.raises(KeeperFailed) as failed:
        world.connect(deadline=0.05)
    assert seen in failed.value.seen
