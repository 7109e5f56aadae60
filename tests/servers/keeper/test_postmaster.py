import contextlib
import os
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest
from keeper_world import Installation, place_filled, processes_in, until

from freshpg.core.clock import SystemClock
from freshpg.core.errors import DiskFull, ServerStartFailed
from freshpg.postgres.admin import Admin
from freshpg.servers import postmaster, runas, storage, tuning
from freshpg.servers.start_failure import start_failure


def nothing_is_left(world, keeper):
    return (
        keeper.servers() == []
        and processes_in(world.root) == []
        and not list((world.root / "servers").iterdir())
    )


def test_it_answers_as_soon_as_start_returns(world, keeper):
    server = world.start(keeper)
    with Admin.connect(server.conninfo) as admin:
        assert admin.value("SELECT 1") == 1
        assert admin.value("SHOW listen_addresses") == ""
        assert admin.value("SHOW fsync") == "off"


def test_nothing_of_our_environment_gets_in(world, keeper, monkeypatch):
    for name in ("PGDATA", "PGPORT", "PGOPTIONS", "LD_PRELOAD", "LC_ALL", "LANG", "SECRET_OF_MINE"):
        monkeypatch.setenv(name, "/nonsense")
    server = world.start(keeper)
    monkeypatch.undo()
    pairs = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
    found = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
    assert b"/nonsense" not in found.values()
    assert found[b"LC_ALL"] == b"C"


def test_it_runs_in_a_session_of_its_own_as_the_chosen_user_with_nothing_inherited(world, keeper):
    server = world.start(keeper)
    assert os.getsid(server.pid) == server.pid
    assert Path(f"/proc/{server.pid}").stat().st_uid == runas.choose().uid
    groups = next(line for line in open_status(server.pid) if line.startswith("Groups:"))
    assert os.geteuid() != 0 or groups.split() == ["Groups:"]
    inherited = {
        str(Path(f"/proc/{server.pid}/fd/{number}").readlink()) for number in ("0", "1", "2")
    }
    assert inherited == {"/dev/null", str(server.directory / "postgres.log")}


def open_status(pid):
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_its_log_is_readable_by_us_alone(world, keeper):
    server = world.start(keeper)
    assert (server.directory / "postgres.log").stat().st_mode & 0o077 == 0


def test_a_wrong_setting_is_named(world, keeper):
    with pytest.raises(ServerStartFailed) as failed:
        world.start(keeper, overrides={"shared_buffers": "lots"})
    assert 'invalid value for parameter "shared_buffers"' in failed.value.seen
    assert "shared_buffers" in failed.value.todo[0]
    assert nothing_is_left(world, keeper)


def test_a_missing_program_is_told(world, keeper):
    place = place_filled(keeper, world.image)
    with pytest.raises(ServerStartFailed) as failed:
        postmaster.start(keeper, place, Installation("/nowhere", 18), runas.choose(), ())
    assert "No such file" in failed.value.seen
    assert nothing_is_left(world, keeper)


def test_a_taken_port_is_told(world, keeper):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerStartFailed) as failed:
            world.start(keeper, port=taken.getsockname()[1], tcp=True)
    assert "port" in failed.value.todo[0]


def test_tcp_needs_a_password_when_the_image_says_so(world, keeper):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = place_filled(keeper, world.image)
    (place.data / "pg_hba.conf").write_text(
        "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    settings = tuning.throwaway(world.installation.major)
    server = postmaster.start(
        keeper, place, world.installation, runas.choose(), settings, port=port, tcp=True
    )
    with Admin.connect(server.conninfo) as admin:
        admin.execute("CREATE ROLE app LOGIN PASSWORD 'right'")
    address = {"host": "127.0.0.1", "port": port, "user": "app", "dbname": "postgres"}
    with psycopg.connect(**address, password="right") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**address, password="wrong")
    assert "right" not in server.log_tail()


def test_a_server_that_stands_still_is_given_up(world, keeper):
    """Time goes by in leaps, so that patience ends at once."""

    class Leaping(SystemClock):
        now = 0.0

        def monotonic(self):
            self.now += 1.0
            return self.now

        def sleep(self, seconds):
            """Let no real time pass."""

    idle = world.base / "postgres"
    idle.write_text("#!/bin/sh\nexec sleep 1000\n")
    idle.chmod(0o755)
    place = place_filled(keeper, world.image)
    with pytest.raises(ServerStartFailed) as failed:
        postmaster.start(
            keeper,
            place,
            Installation(str(world.base), 18),
            runas.choose(),
            (),
            patience=5.0,
            clock=Leaping(),
        )
    assert "no progress for 5 s" in failed.value.seen
    assert nothing_is_left(world, keeper)


def test_sockets_live_elsewhere_when_the_path_is_long(world, keeper):
    long_root = world.base / ("x" * 90)
    storage.make_root(long_root)
    with world.connect(roots=[long_root]) as other:
        server = world.start(other, root=long_root)
        assert server.directory.is_relative_to(long_root)
        assert server.sockets.is_relative_to(world.root)
        with Admin.connect(server.conninfo) as admin:
            assert admin.value("SELECT 1") == 1
        assert server.stop() == []
        assert not server.sockets.exists()
    keeper.close()
    until(lambda: not world.root.exists() and not long_root.exists())


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 16)):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_told(world, keeper):
    small = world.base / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m,mode=711", "none", str(small)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with world.connect(roots=[small]) as other:
            place = place_filled(other, world.image, small)
            fill(small / "ballast")
            with pytest.raises(DiskFull) as full:
                postmaster.start(
                    other,
                    place,
                    world.installation,
                    runas.choose(),
                    tuning.throwaway(world.installation.major),
                )
            assert "No space left" in full.value.seen
            until(lambda: not place.directory.exists())
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    "log, kind, word",
    [
        ("FATAL:  could not write lock file: No space left on device", DiskFull, "free space"),
        (
            "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
            ServerStartFailed,
            "shm-size",
        ),
        ("FATAL:  could not create any TCP/IP sockets", ServerStartFailed, "--tcp"),
        (
            "postgres: error while loading shared libraries: libicu.so.70: cannot open",
            ServerStartFailed,
            "libicu.so.70",
        ),
        ('FATAL:  unrecognized configuration parameter "fsnyc"', ServerStartFailed, "fsnyc"),
        (
            'FATAL:  could not access file "timescaledb": No such file or directory',
            ServerStartFailed,
            "timescaledb",
        ),
        (
            "FATAL:  database files are incompatible\nDETAIL: The data directory was initialized by PostgreSQL version 15, which is not compatible",
            ServerStartFailed,
            "another build",
        ),
        ("something nobody has seen before", ServerStartFailed, "doctor"),
    ],
)
def test_the_reason_in_the_log_decides_what_to_do(log, kind, word):
    error = start_failure(log, on="server", seen="")
    assert type(error) is kind
    assert word in error.todo[0]


def test_a_full_disk_says_how_much_room_is_left(tmp_path):
    log = 'FATAL:  could not write to file "base/1/2": No space left on device'
    error = start_failure(log, on="server", seen="", place=tmp_path)
    assert error.free > 0
    assert f"{error.free >> 20} MB are free in {tmp_path}" in error.seen


def test_no_password_of_the_log_is_shown():
    error = start_failure("FATAL: x password='hunter2' postgresql://u:hunter2@h/d", on="", seen="")
    assert "hunter2" not in str(error)
