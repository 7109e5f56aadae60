import time

import psycopg
import pytest
from keeper_world import Remains, until

from freshpg.core.errors import KeeperRefused
from freshpg.servers.postmaster import ServerHandle


def test_released_without_linger_it_is_gone_on_return(world, keeper):
    server = world.start(keeper)
    left = Remains.of(server)
    assert server.release(linger=0) == []
    assert left.left() == []


def test_a_warm_server_is_taken_by_the_next_who_wants_the_same(world, keeper):
    server = world.start(keeper, key="main", meta={"build": "b"})
    server.release(linger=60)
    with world.connect() as other:
        assert other.take("another") is None
        record = other.take("main")
        taken = ServerHandle.of(other, record)
        assert (taken.id, taken.pid, taken.meta["build"]) == (server.id, server.pid, "b")
        assert other.take("main") is None
        with psycopg.connect(**taken.conninfo.keywords()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        taken.stop()


def test_what_the_last_owner_left_is_told_to_the_next_one_and_to_nobody_after(world, keeper):
    server = world.start(keeper, key="main")
    server.release(linger=60, left={"clones": ["shop_test"]})
    assert keeper.servers()[0].left == {"clones": ["shop_test"]}
    assert keeper.take("main").left == {"clones": ["shop_test"]}
    keeper.release(server.id, linger=60)
    assert keeper.take("main").left == {}


def test_what_was_left_survives_the_keeper(world, keeper):
    server = world.start(keeper, key="main")
    server.release(linger=60, left={"clones": ["shop_test"]})
    world.kill_keeper()
    with world.connect() as other:
        record = until(lambda: other.take("main"))
        assert record.left == {"clones": ["shop_test"]}
        other.release(record.id, linger=0)


def test_nobody_enters_an_idle_server_by_its_old_address(world, keeper):
    server = world.start(keeper, key="main")
    hidden = server.hide()
    server.release(linger=60, left=hidden)
    with pytest.raises(psycopg.OperationalError, match="No such file"):
        psycopg.connect(**server.conninfo.keywords())
    taken = ServerHandle.of(keeper, keeper.take("main"))
    with psycopg.connect(**taken.conninfo.keywords()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert taken.stop() == []


def test_an_owned_server_is_nobody_elses(world, keeper):
    server = world.start(keeper, key="main")
    with world.connect() as other:
        assert other.take("main") is None
        for ask in (other.release, other.pin):
            with pytest.raises(KeeperRefused) as refused:
                ask(server.id, **({"linger": 0} if ask == other.release else {"seconds": 1}))
            assert refused.value.kind == "owned"
        with pytest.raises(KeeperRefused):
            other.stop(server.id)
        assert other.stop_all() == 0
        assert server.alive
        assert other.stop(server.id, force=True) == []


def test_a_warm_server_ends_when_its_time_is_over(world, keeper):
    server = world.start(keeper, key="main")
    left = Remains.of(server)
    began = time.monotonic()
    server.release(linger=0.15)
    assert left.left()
    until(left.gone, 2.0)
    assert time.monotonic() - began >= 0.15


def test_a_warm_server_outlives_its_first_owner(world, keeper):
    process, server = world.owner(
        key="main", then="keeper.release(server.id, linger=60); sys.exit()"
    )
    process.wait()
    until(lambda: len(keeper.status()["clients"]) == 1)
    assert keeper.take("main").id == server.id


def test_a_pinned_server_outlives_its_killed_owner_until_it_is_stopped(world, keeper):
    process, server = world.owner(key="main", then="server.pin(seconds=60); print(flush=True)")
    process.stdout.readline()
    left = Remains.of(server)
    process.kill()
    until(lambda: keeper.servers()[0].state == "warm")
    assert keeper.servers()[0].idle_left > 50
    assert left.left()
    assert keeper.stop_all() == 1
    assert left.left() == []


def test_unpinned_and_released_it_ends(world, keeper):
    server = world.start(keeper)
    server.pin(seconds=60)
    server.pin(seconds=0)
    assert server.release(linger=0) == []
    assert keeper.servers() == []


def test_status_names_owner_and_label(world, keeper):
    server = world.start(keeper, key="main")
    with world.connect(label="second") as other:
        status = other.status()
    (found,) = status["servers"]
    assert (found["id"], found["owner"]["label"], found["state"]) == (server.id, "test", "owned")
    assert {client["label"] for client in status["clients"]} == {"test", "second"}
