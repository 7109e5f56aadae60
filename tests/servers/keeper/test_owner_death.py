import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from keeper_world import Remains, processes_in, runs, segment_of, until


def kill(process):
    process.kill()
    process.wait()
    return time.monotonic()


def busy_session(server):
    connection = psycopg.connect(
        host=str(server.sockets), user="freshpg_admin", dbname="postgres", autocommit=True
    )
    connection.pgconn.send_query(b"SELECT pg_sleep(1000)")
    return connection


def test_a_killed_owner_leaves_nothing_within_a_second(world):
    process, server = world.owner()
    remains = Remains.of(server)
    connection = busy_session(server)
    assert remains.left()
    died = kill(process)
    until(remains.gone, 1.0)
    assert time.monotonic() - died < 1.0
    connection.close()


def test_paths_claimed_by_a_killed_owner_are_removed(world):
    claimed = world.root / "servers" / "half-made"
    then = f"keeper.claim([Path({str(claimed)!r})]); Path({str(claimed)!r}, 'deep').mkdir(parents=True); print(flush=True)"
    process, _ = world.owner(then=then)
    process.stdout.readline()
    assert claimed.exists()
    kill(process)
    until(lambda: not claimed.exists(), 1.0)


STRAY = """
import subprocess
from keeper_world import place_filled, runas
place = place_filled(keeper, Path({image!r}))
user = runas.choose()
identity = {{}} if user.is_ourselves else dict(user=user.uid, group=user.gid, extra_groups=[])
subprocess.Popen([{postgres!r}, "-D", str(place.data), "-k", str(place.data), "-c", "listen_addresses="],
                 cwd=place.data, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                 start_new_session=True, **identity)
print(place.directory, flush=True)
"""


def test_a_program_in_a_claimed_place_ends_with_its_owner_and_leaves_no_shared_memory(world):
    postgres = str(world.installation.program("postgres"))
    process, _ = world.owner(then=STRAY.format(image=str(world.image), postgres=postgres))
    directory = Path(process.stdout.readline().decode().strip())
    pid_file = directory / "data" / "postmaster.pid"
    until(lambda: pid_file.exists() and len(pid_file.read_text().splitlines()) > 7)
    remains = Remains(directory, directory / "s", segment_of(directory / "data"))
    assert len(remains.left()) > 3
    kill(process)
    until(remains.gone)


def test_a_frozen_server_of_a_killed_owner_is_ended(world):
    process, server = world.owner()
    remains = Remains.of(server)
    for pid in processes_in(server.directory):
        os.kill(pid, signal.SIGSTOP)
    kill(process)
    until(remains.gone, 1.0)


def test_a_program_started_by_a_backend_ends_with_the_server(world):
    process, server = world.owner()
    remains = Remains.of(server)
    connection = psycopg.connect(
        host=str(server.sockets), user="freshpg_admin", dbname="postgres", autocommit=True
    )
    connection.pgconn.send_query(b"COPY (SELECT 1) TO PROGRAM 'exec sleep 1000'")
    until(
        lambda: any(
            b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
            for pid in processes_in(server.directory)
        )
    )
    kill(process)
    until(remains.gone, 1.0)
    connection.close()


@pytest.mark.parametrize(
    "way",
    [
        "os.fork() or sys.stdin.read()",
        "__import__('multiprocessing').get_context('fork').Process(target=__import__('signal').pause).start()",
    ],
)
def test_a_forked_child_does_not_hold_the_lease(world, way):
    process, server = world.owner(then=f"{way}\nprint(flush=True)")
    process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    remains = Remains.of(server)
    process.kill()
    until(remains.gone, 1.0)
    assert any(runs(child) for child in children)
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def test_an_owner_that_exits_without_a_word_leaves_nothing(world):
    process, server = world.owner(then="sys.stdin.readline(); os._exit(0)")
    remains = Remains.of(server)
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.wait()
    until(remains.gone, 1.0)


def test_the_other_owners_server_survives(world, keeper):
    mine = world.start(keeper)
    process, server = world.owner()
    remains = Remains.of(server)
    kill(process)
    until(remains.gone, 1.0)
    assert mine.alive
    with psycopg.connect(**mine.conninfo.keywords()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
