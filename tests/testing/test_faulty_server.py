"""FaultyServer: every fault as a client sees it, changed while connections are open, and nothing left at the end."""

import asyncio
import contextlib
import errno
import gc
import os
import select
import socket
import threading
import time
from pathlib import Path

import asyncpg
import psycopg
import pytest

from freshpg.errors import UsageInvalid
from freshpg.testing import FaultyServer

LATE = 0.05
SHORT = {"connect_timeout": 2}
"""libpq's shortest wait for a connection, in whole seconds; less means 2."""


@pytest.fixture(params=["unix", "tcp"])
def listen(request):
    return request.param


@pytest.fixture
def faulty(db, listen):
    with FaultyServer(db, listen=listen) as server:
        yield server


@pytest.fixture
def connection(faulty):
    with contextlib.closing(psycopg.connect(faulty.url, autocommit=True)) as opened:
        yield opened


def open_sockets():
    """Sockets of Python's own: those of libpq, of the manager beside us, are not among them."""
    return {
        one
        for one in gc.get_objects()
        if issubclass(type(one), socket.socket) and one.fileno() >= 0
    }


def rows(connection, sql="SELECT name FROM item"):
    return [row[0] for row in connection.execute(sql)]


def test_without_faults_it_is_the_server_itself(faulty, connection):
    assert rows(connection) == ["seeded"]
    assert rows(connection, "SELECT length(repeat('x', 3000000))") == [3_000_000]
    assert rows(connection, "SELECT repeat('x', 3000000)") == ["x" * 3_000_000]
    assert faulty.connections == 1


def test_a_unix_socket_lies_beside_the_servers_own_and_asks_no_password(db):
    with FaultyServer(db) as faulty:
        socket_file = Path(faulty.conninfo.host, f".s.PGSQL.{faulty.conninfo.port}")
        assert socket_file.is_socket()
        assert faulty.conninfo.host == db.conninfo.host
        assert faulty.conninfo.password is None
    assert not socket_file.exists()


def test_tcp_asks_for_a_password_that_the_url_holds(db):
    with FaultyServer(db, listen="tcp") as faulty:
        assert faulty.conninfo.host == "127.0.0.1"
        with psycopg.connect(faulty.url) as opened:
            assert rows(opened) == ["seeded"]
        for wrong in ("", "guess"):
            keywords = faulty.conninfo.with_(password=wrong or None).keywords()
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(**keywords)
        assert faulty.conninfo.password not in repr(faulty)


def test_a_request_to_cancel_comes_through(connection):
    threading.Timer(0.1, connection.cancel_safe).start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(30)")


@pytest.mark.parametrize("direction", ["to_server", "to_client", "both"])
def test_latency_delays_each_way_once(faulty, connection, direction):
    faulty.degrade(direction, latency=LATE)
    began = time.perf_counter()
    assert rows(connection) == ["seeded"]
    assert time.perf_counter() - began >= LATE * (2 if direction == "both" else 1)


def test_latency_costs_no_bandwidth(faulty, connection):
    faulty.degrade("to_client", latency=LATE)
    began = time.perf_counter()
    assert len(rows(connection, "SELECT repeat('x', 2000000)")[0]) == 2_000_000
    # Thirty chunks, one after the other, would take thirty times the latency.
    assert time.perf_counter() - began < 30 * LATE


def test_limited_bandwidth_takes_its_time(faulty, connection):
    faulty.degrade("to_client", bandwidth=200_000)
    began = time.perf_counter()
    rows(connection, "SELECT repeat('x', 20000)")
    assert time.perf_counter() - began >= 0.08
    faulty.degrade("to_client", bandwidth=None)
    assert rows(connection) == ["seeded"]


def test_the_same_seed_draws_the_same_jitter(db):
    def delays(seed):
        from random import Random

        from freshpg.testing.proxy.faults import Faults

        faults, chance = Faults(jitter=1.0), Random(f"{seed} 1 to_client")
        return [faults.delivery(0.0, chance.random()) for _ in range(20)]

    assert delays(1) == delays(1) != delays(2)
    assert all(0 <= delay < 1 for delay in delays(1))


def test_jitter_keeps_the_order(db):
    with (
        FaultyServer(db, seed=7) as faulty,
        psycopg.connect(faulty.url, autocommit=True) as opened,
    ):
        faulty.degrade(jitter=0.01)
        with opened.pipeline():
            cursors = [opened.execute("SELECT %s::int", [number]) for number in range(20)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))


def test_a_cut_ends_open_connections_and_new_ones_work(faulty, connection):
    assert faulty.cut() == 1
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    assert connection.closed
    assert faulty.cut() == 0
    with psycopg.connect(faulty.url) as again:
        assert rows(again) == ["seeded"]


def test_a_reset_over_tcp_is_a_reset(db):
    with FaultyServer(db, listen="tcp") as faulty, socket.socket() as raw:
        raw.settimeout(10)
        raw.connect((faulty.conninfo.host, faulty.conninfo.port))
        _until(lambda: faulty.connections == 1)
        assert faulty.reset() == 1
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


def test_a_reset_over_a_unix_socket_shows_when_something_was_unread(db):
    with FaultyServer(db, listen="unix") as faulty:
        faulty.half_open()
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(f"{faulty.conninfo.host}/.s.PGSQL.{faulty.conninfo.port}")
            raw.sendall(b"unread")
            _until(lambda: faulty.connections == 1)
            faulty.reset()
            with pytest.raises(ConnectionResetError):
                raw.recv(1)


def test_half_open_keeps_the_socket_and_passes_nothing_on(faulty, connection):
    faulty.half_open("to_client")
    connection.pgconn.send_query(b"INSERT INTO item (name) VALUES ('sent') RETURNING name")
    connection.pgconn.flush()
    assert select.select([connection.fileno()], [], [], LATE)[0] == []
    assert faulty.connections == 1
    faulty.heal()
    while connection.pgconn.is_busy():
        assert select.select([connection.fileno()], [], [], 10)[0]
        connection.pgconn.consume_input()
    assert connection.pgconn.get_result().get_value(0, 0) == b"sent"


@pytest.mark.slow
def test_a_new_connection_to_a_half_open_server_hears_nothing(faulty):
    faulty.half_open()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(faulty.url, **SHORT)


def test_an_end_is_passed_on_late(faulty, connection, db):
    faulty.slow_close(LATE, "to_client")
    pid = connection.info.backend_pid
    began = time.perf_counter()
    with db.connect(autocommit=True) as other:
        # Without waiting for it, which PostgreSQL does in steps longer than the end is late.
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(30)")
        with contextlib.suppress(psycopg.OperationalError):
            connection.pgconn.consume_input()
    _until(lambda: faulty.connections == 0)
    assert time.perf_counter() - began >= LATE


def test_what_a_client_still_sends_does_not_hasten_the_end(faulty, connection, db):
    faulty.slow_close(LATE, "to_client")
    began = time.perf_counter()
    with db.connect(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:

        def is_ended():
            with contextlib.suppress(OSError):
                raw.send(b"Q\0\0\0\x05\0")
            return faulty.connections == 0

        _until(is_ended)
    assert time.perf_counter() - began >= LATE


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_cut_in_the_middle_of_a_message_leaves_half_of_it(faulty, connection, how):
    faulty.cut_after(3, "to_client", how=how)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    # Once: the next connection is whole.
    with psycopg.connect(faulty.url) as again:
        assert rows(again) == ["seeded"]


def test_so_many_bytes_arrive_before_the_cut(db):
    with FaultyServer(db, listen="unix") as faulty:
        faulty.cut_after(3, "to_client")
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(f"{faulty.conninfo.host}/.s.PGSQL.{faulty.conninfo.port}")
            words = f"user\0{db.conninfo.user}\0database\0{db.name}\0\0".encode()
            raw.sendall((len(words) + 8).to_bytes(4) + (3 << 16).to_bytes(4) + words)
            heard = b""
            while more := raw.recv(100):
                heard += more
    assert heard == b"R\0\0"


def test_a_statement_cut_on_its_way_was_never_run(faulty, connection, db):
    faulty.cut_after(20, "to_server")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("INSERT INTO item (name) VALUES ('half a statement')")
    with db.connect() as direct:
        assert rows(direct) == ["seeded"]


def test_a_fuse_without_number_breaks_each_connection_until_healed(faulty):
    faulty.cut_after(3, "to_client", times=None)
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(faulty.url)
    faulty.heal()
    with psycopg.connect(faulty.url) as opened:
        assert rows(opened) == ["seeded"]


def test_a_refusing_server_serves_who_is_in_and_nobody_else(faulty, connection):
    address = faulty.conninfo
    faulty.refuse()
    assert rows(connection) == ["seeded"]
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(faulty.url)
    faulty.refuse()
    faulty.heal()
    assert faulty.conninfo == address
    with psycopg.connect(faulty.url) as opened:
        assert rows(opened) == ["seeded"]


def test_healing_passes_on_what_latency_held_back(faulty, connection):
    faulty.degrade(latency=3600)
    threading.Timer(0.05, faulty.heal).start()
    assert rows(connection) == ["seeded"]
    assert all(faults.latency == 0 for faults in faulty.faults.values())


def test_asyncpg_and_asynchronous_psycopg_go_through(faulty):
    async def main():
        connection = await asyncpg.connect(faulty.url_for("asyncpg"))
        assert await connection.fetchval("SELECT name FROM item") == "seeded"
        faulty.cut_after(3)
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await connection.fetchval("SELECT name FROM item")
        connection.terminate()
        async with await psycopg.AsyncConnection.connect(faulty.url) as other:
            cursor = await other.execute("SELECT name FROM item")
            assert await cursor.fetchone() == ("seeded",)

    asyncio.run(main())


def test_it_is_an_asynchronous_context_manager(db):
    async def main():
        async with FaultyServer(db) as faulty:
            connection = await asyncpg.connect(faulty.url)
            assert await connection.fetchval("SELECT 1") == 1
            connection.terminate()

    asyncio.run(main())


def test_two_servers_do_not_get_in_each_others_way(db):
    with FaultyServer(db) as one, FaultyServer(db) as two:
        one.refuse()
        assert one.conninfo != two.conninfo
        with psycopg.connect(two.url) as opened:
            assert rows(opened) == ["seeded"]


def test_closing_ends_threads_sockets_and_sessions(db, listen):
    before = open_sockets()
    with FaultyServer(db, listen=listen) as faulty:
        held = [psycopg.connect(faulty.url) for _ in range(3)]
        faulty.half_open()
    assert [thread for thread in threading.enumerate() if "faulty" in thread.name] == []
    for one in held:
        with pytest.raises(psycopg.OperationalError):
            one.execute("SELECT 1")
        one.close()
    assert open_sockets() == before
    with db.connect() as direct:
        assert rows(
            direct,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND application_name NOT LIKE 'freshpg%'",
        ) == [0]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(faulty.url)
    faulty.close()
    with pytest.raises(UsageInvalid, match="closed"):
        faulty.cut()


def test_a_forked_child_leaves_its_parents_proxy_alone(db):
    with FaultyServer(db) as faulty:
        child = os.fork()
        if child == 0:
            faulty.close()
            os._exit(0)
        os.waitpid(child, 0)
        with psycopg.connect(faulty.url) as opened:
            assert rows(opened) == ["seeded"]


def test_a_server_that_is_gone_shows_as_a_connection_that_ends(db):
    nowhere = db.conninfo.with_(port=1)
    with FaultyServer(nowhere, listen="unix") as faulty, pytest.raises(psycopg.OperationalError):
        psycopg.connect(faulty.url)


def test_in_front_of_a_strangers_server_its_socket_has_a_directory_of_ours(tmp_path, ground):
    from freshpg.core.conninfo import Conninfo

    with FaultyServer(Conninfo(host=str(tmp_path)), listen="unix") as faulty:
        directory = Path(faulty.conninfo.host)
        assert directory.is_relative_to(ground)
        assert not list(tmp_path.iterdir())
    assert not directory.exists()


IMPOSSIBLE = {
    "negative latency": lambda faulty: faulty.degrade(latency=-1),
    "endless jitter": lambda faulty: faulty.degrade(jitter=float("inf")),
    "no bandwidth at all": lambda faulty: faulty.degrade(bandwidth=0),
    "no such direction": lambda faulty: faulty.degrade("sideways"),
    "not a number": lambda faulty: faulty.slow_close(float("nan")),
    "negative bytes": lambda faulty: faulty.cut_after(-1),
    "no such break": lambda faulty: faulty.cut_after(1, how="gently"),
    "never": lambda faulty: faulty.cut_after(1, times=0),
}


@pytest.mark.parametrize("act", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_fault_that_cannot_be_changes_nothing(db, act):
    with FaultyServer(db) as faulty:
        before = faulty.faults
        with pytest.raises(UsageInvalid):
            act(faulty)
        assert faulty.faults == before


def test_there_are_two_ways_to_listen(db):
    with pytest.raises(UsageInvalid, match="no such way in"):
        FaultyServer(db, listen="carrier pigeon")


def _until(condition, seconds=10):
    end, never = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, "not so in time"
        never.wait(0.002)


def test_refused_is_what_the_system_calls_it(db):
    with FaultyServer(db, listen="tcp") as faulty:
        faulty.refuse()
        with socket.socket() as raw:
            code = raw.connect_ex((faulty.conninfo.host, faulty.conninfo.port))
    assert code == errno.ECONNREFUSED
