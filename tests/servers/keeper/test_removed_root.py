"""Somebody removes the runtime root by hand: the keeper sees it and ends at once what nobody can reach any more."""

import shutil

import psycopg
import pytest
from keeper_world import Remains, processes_in, runs, until


def test_a_removed_root_ends_warm_servers_and_the_keeper_at_once(world):
    with world.connect() as keeper:
        pid = keeper.pid
        server = world.start(keeper, key="warm")
        remains = Remains.of(server)
        server.release(linger=3600)

    shutil.rmtree(world.root, ignore_errors=True)

    until(lambda: not runs(pid), 3.0)
    until(remains.gone, 3.0)
    assert not world.root.exists()


def test_a_server_in_use_ends_as_well_and_its_owner_is_told(world):
    with world.connect() as keeper:
        server = world.start(keeper)
        remains = Remains.of(server)
        connection = psycopg.connect(**server.conninfo.keywords(), autocommit=True)

        shutil.rmtree(world.root, ignore_errors=True)

        until(remains.gone, 3.0)
        until(lambda: not keeper.alive, 3.0)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


def test_what_lies_in_another_root_goes_too(world):
    other = world.base / "other"
    other.mkdir(mode=0o711)
    with world.connect(roots=[other]) as keeper:
        server = world.start(keeper, root=other, key="warm")
        remains = Remains.of(server)
        server.release(linger=3600)

    shutil.rmtree(world.root, ignore_errors=True)

    until(remains.gone, 3.0)
    assert processes_in(other) == []


def test_what_others_remove_in_a_root_that_stays_is_no_reason_to_end(world):
    with world.connect() as keeper:
        server = world.start(keeper)
        for _ in range(3):
            (world.root / "stray").touch()
            (world.root / "stray").unlink()
        assert keeper.status()["pid"] == keeper.pid
        with psycopg.connect(**server.conninfo.keywords()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_next_client_starts_a_keeper_at_the_same_place(world):
    with world.connect() as keeper:
        first = keeper.pid
        shutil.rmtree(world.root, ignore_errors=True)
        with world.connect() as successor:
            assert successor.pid != first
            until(lambda: not runs(first), 3.0)
            # The first took nothing along that is its successor's.
            assert world.keeper_pid() == successor.pid
            assert successor.status()["pid"] == successor.pid
