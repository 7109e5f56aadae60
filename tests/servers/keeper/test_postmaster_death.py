import os
import signal

import psycopg
import pytest
from keeper_world import Remains, processes_in, segments, until

from freshpg.core.errors import KeeperRefused


@pytest.fixture
def killed(world, keeper):
    """A server whose postmaster was killed while a backend was busy."""
    server = world.start(keeper)
    left = Remains.of(server)
    busy = psycopg.connect(**server.conninfo.keywords(), autocommit=True)
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
    os.kill(server.pid, signal.SIGKILL)
    yield server, left
    busy.close()


def test_the_owner_learns_that_its_postmaster_died(keeper, killed):
    server, _ = killed
    until(lambda: not server.alive)
    assert keeper.alive
    assert keeper.died[server.id].status == -signal.SIGKILL
    assert "ready to accept connections" in keeper.died[server.id].log


def test_backends_and_segment_go_at_once_and_the_directory_when_released(killed):
    server, left = killed
    until(lambda: not processes_in(server.directory) and left.segment not in segments(), 1.0)
    assert server.log_tail()
    assert server.stop() == []
    assert left.gone()


def test_a_dead_server_can_be_neither_lent_on_nor_released_twice(keeper, killed):
    server, _ = killed
    until(lambda: not server.alive)
    assert keeper.release(server.id, linger=60) == []
    with pytest.raises(KeeperRefused) as refused:
        keeper.release(server.id, linger=60)
    assert refused.value.kind == "gone"
    assert server.stop() == []


def test_a_warm_server_that_dies_is_removed(world, keeper):
    server = world.start(keeper, key="k")
    left = Remains.of(server)
    server.release(linger=60)
    os.kill(server.pid, signal.SIGKILL)
    until(left.gone, 1.0)
    assert keeper.take("k") is None
