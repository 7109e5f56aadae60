import json
import os
import signal

import psycopg
import pytest
from keeper_world import Remains, runs, until

from freshpg.core.errors import KeeperGone


def rewrite(directory, **changes):
    path = directory / "server.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_client_notices_that_the_keeper_died(world, keeper):
    world.kill_keeper()
    assert not keeper.alive
    with pytest.raises(KeeperGone):
        keeper.status()


def test_the_next_keeper_adopts_a_warm_server(world, keeper):
    server = world.start(keeper, key="main")
    left = Remains.of(server)
    server.release(linger=60)
    world.kill_keeper()
    with world.connect() as other:
        assert other.pid != keeper.pid
        assert other.take("main").pid == server.pid
        assert other.release(server.id, linger=0) == []
        assert left.left() == []


def test_an_adopted_server_that_dies_is_noticed(world, keeper):
    server = world.start(keeper, key="main")
    left = Remains.of(server)
    server.release(linger=60)
    world.kill_keeper()
    with world.connect() as other:
        other.take("main")
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: other.alive and server.id in other.died)
        other.release(server.id, linger=0)
    assert left.left() == []


def test_an_owner_that_lives_on_gets_its_server_back(world, keeper):
    server = world.start(keeper, key="main")
    world.kill_keeper()
    with world.connect() as other:
        assert other.take("main") is None
        assert keeper.reconnect() == [server.id]
        assert server.alive
        with psycopg.connect(**server.conninfo.keywords()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server.stop() == []


def test_claims_of_an_owner_that_lives_on_stay_and_go_with_it(world):
    claimed = world.root / "servers" / "half-made"
    then = (
        f"keeper.claim([Path({str(claimed)!r})]); Path({str(claimed)!r}).mkdir(); print(flush=True)"
    )
    process, _ = world.owner(then=then)
    process.stdout.readline()
    world.kill_keeper()
    with world.connect() as other:
        other.status()
        assert claimed.exists()
        process.kill()
        process.wait()
        until(lambda: not claimed.exists(), 1.0)


def test_when_keeper_and_owner_were_killed_the_next_keeper_ends_the_server(world):
    process, server = world.owner()
    left = Remains.of(server)
    pid = world.keeper_pid()
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert runs(server.pid)
    with world.connect() as other:
        until(left.gone, 2.0)
        until(lambda: other.servers() == [])


def test_when_everything_was_killed_the_next_keeper_removes_what_is_left(world):
    process, server = world.owner()
    left = Remains.of(server)
    for pid in (world.keeper_pid(), process.pid, server.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    with world.connect():
        until(left.gone, 2.0)


def test_what_another_boot_left_is_removed(world, keeper):
    server = world.start(keeper, key="main")
    left = Remains.of(server)
    server.release(linger=60)
    world.kill_keeper()
    rewrite(server.directory, boot="another")
    with world.connect():
        until(left.gone, 2.0)


def test_a_server_of_another_pid_namespace_is_left_alone(world, keeper):
    server = world.start(keeper, key="main")
    server.release(linger=60)
    world.kill_keeper()
    rewrite(server.directory, namespace="pid:[1]")
    with world.connect() as other:
        assert other.servers() == []
        assert runs(server.pid)
    os.kill(server.pid, signal.SIGQUIT)
    until(lambda: not runs(server.pid))


def test_a_reused_pid_is_not_taken_for_the_postmaster(world, keeper):
    server = world.start(keeper, key="main")
    left = Remains.of(server)
    server.release(linger=60)
    world.kill_keeper()
    rewrite(server.directory, pid=os.getpid())
    with world.connect():
        until(left.gone, 2.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_a_directory_whose_record_cannot_be_read_is_removed(world, text):
    directory = world.root / "servers" / "torn"
    with world.connect():
        pass
    until(lambda: not world.root.exists())
    directory.mkdir(parents=True, mode=0o700)
    (directory / "server.json").write_text(text)
    with world.connect():
        until(lambda: not directory.exists(), 1.0)
