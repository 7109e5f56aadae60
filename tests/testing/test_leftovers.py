"""The oracle: one of each kind is planted and found, one bystander of each is not named, and what goes is forgotten."""

import contextlib
import ctypes
import mmap
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import psycopg
import pytest
from postgres_server import admin, server

from freshpg.errors import LeftBehind
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark
from freshpg.servers import storage
from freshpg.testing import leftovers
from freshpg.testing.left.processes import children
from freshpg.testing.left.things import KINDS

__all__ = ["admin", "server"]

IPC_CREAT, IPC_RMID, POSTGRES_MAGIC = 0o1000, 0, 679834894
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = (ctypes.c_void_p,)


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """A runtime root of the test's own, where nobody else starts or removes anything."""
    base = Path(tempfile.mkdtemp(prefix="fpgl-", dir="/dev/shm"))
    monkeypatch.setenv("FRESHPG_RUNTIME", str(base))
    monkeypatch.setenv("FRESHPG_CACHE", str(base / "cache"))
    yield storage.keeper_root()
    shutil.rmtree(base)


@pytest.fixture
def found():
    """Plant something, look, and take it away again: what was named meanwhile."""

    def look(planting, *servers, **options):
        watch = leftovers(*servers, patience=0, **options)
        with planting as planted:
            return watch.since(), planted

    return look


def of_kind(named, kind):
    return [one.name for one in named if one.kind == kind]


@contextlib.contextmanager
def a_child(*, zombie=False):
    code = "pass" if zombie else "input()"
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)
    if zombie:
        # Ended and not waited for: waitid leaves it as it is.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        yield process.pid
    finally:
        process.communicate(b"\n")


ORPHAN = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
os.chdir(sys.argv[1])
if sys.argv[2] == "zombie":
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    print(child, flush=True)
else:
    print(os.getpid(), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def an_orphan(directory, kind="process"):
    """A process that is no child of ours, working in ``directory``; or the zombie that it does not reap."""
    command = [sys.executable, "-S", "-c", ORPHAN, str(directory), kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        process.wait()
        yield pid


@contextlib.contextmanager
def a_segment(*, magic=POSTGRES_MAGIC, attached=False):
    number = libc.shmget(0, 4096, IPC_CREAT | 0o600)
    address = libc.shmat(number, None, 0)
    ctypes.memmove(address, struct.pack("@i", magic), 4)
    if not attached:
        libc.shmdt(address)
    try:
        yield number
    finally:
        if attached:
            libc.shmdt(address)
        libc.shmctl(number, IPC_RMID, None)


@contextlib.contextmanager
def a_memory_file(*, mapped=False, name="PostgreSQL"):
    path = Path("/dev/shm", f"{name}.{uuid.uuid4().int % 10**9}")
    path.write_bytes(b"x" * 4096)
    try:
        if mapped:
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
                yield path
        else:
            yield path
    finally:
        path.unlink()


@contextlib.contextmanager
def a_socket(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path
    path.unlink()


@contextlib.contextmanager
def an_entry(path, *, directory=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        path.mkdir()
    else:
        path.touch()
    yield path
    shutil.rmtree(path) if directory else path.unlink()


def test_a_child_that_runs_on_is_found_and_somebody_elses_process_is_not(found, tmp_path):
    named, pid = found(a_child())
    assert [name.split()[0] for name in of_kind(named, "process")] == [str(pid)]

    named, _ = found(an_orphan(tmp_path))
    assert of_kind(named, "process") == []


def test_a_process_in_a_runtime_root_is_found_though_it_is_no_child(found, root):
    named, pid = found(an_orphan(root))
    assert [name.split()[0] for name in of_kind(named, "process")] == [str(pid)]


def test_a_child_nobody_waited_for_is_a_zombie_and_another_parents_is_not_named(found, tmp_path):
    named, pid = found(a_child(zombie=True))
    assert [name.split()[0] for name in of_kind(named, "zombie")] == [str(pid)]
    assert of_kind(named, "process") == []

    named, _ = found(an_orphan(tmp_path, "zombie"))
    assert of_kind(named, "zombie") == []


def test_a_segment_nobody_has_attached_is_found(found):
    named, number = found(a_segment())
    assert str(number) in of_kind(named, "System V segment")


@pytest.mark.parametrize("options", [{"attached": True}, {"magic": 4711}], ids=["used", "foreign"])
def test_a_segment_in_use_or_of_another_program_is_not_named(found, options):
    named, number = found(a_segment(**options))
    # Tests beside this one may leave some for a moment.
    assert str(number) not in of_kind(named, "System V segment")


def test_a_shared_memory_file_nobody_maps_is_found(found):
    named, path = found(a_memory_file())
    assert str(path) in of_kind(named, "shared memory file")


@pytest.mark.parametrize("options", [{"mapped": True}, {"name": "other"}], ids=["used", "foreign"])
def test_a_shared_memory_file_in_use_or_of_another_program_is_not_named(found, options):
    named, path = found(a_memory_file(**options))
    assert str(path) not in of_kind(named, "shared memory file")


def test_sockets_files_and_directories_are_found_in_our_places_alone(found, root, tmp_path):
    server = root / "servers" / "0123456789abcdef"
    server.mkdir(parents=True)
    planted = {
        "socket": a_socket(server / "s" / ".s.PGSQL.5432"),
        "file": an_entry(server / "server.json"),
        "directory": an_entry(root / "servers" / "another", directory=True),
    }
    for kind, planting in planted.items():
        named, path = found(planting)
        assert str(path) in of_kind(named, kind)

    bystanders = (
        a_socket(Path(tempfile.mkdtemp(dir=tmp_path)) / "s"),
        an_entry(tmp_path / "server.json"),
        an_entry(tmp_path / "servers", directory=True),
        # An image in the cache was made to stay.
        an_entry(storage.cache_candidates()[0] / "images" / "1a2b", directory=True),
    )
    for bystander in bystanders:
        named, path = found(bystander)
        assert not any(str(path) in one.name for one in named if one.kind != "descriptor")


def test_an_image_that_was_never_finished_is_found(found):
    draft = storage.cache_candidates()[0] / "images" / ".tmp-abc"
    named, path = found(an_entry(draft, directory=True))
    assert of_kind(named, "directory") == [str(path)]


def test_state_of_the_project_is_found_but_what_is_made_to_stay(found, tmp_path):
    named, path = found(an_entry(tmp_path / ".freshpg" / "half.tmp"), project=tmp_path)
    assert of_kind(named, "file") == [str(path)]

    named, _ = found(an_entry(tmp_path / ".freshpg" / "log"), project=tmp_path)
    assert of_kind(named, "file") == []


@contextlib.contextmanager
def an_open_file(path):
    path.touch()
    with path.open():
        yield path


def test_a_descriptor_is_found_with_what_it_leads_to(found, tmp_path):
    named, path = found(an_open_file(tmp_path / "notes"))
    assert [name.split()[1] for name in of_kind(named, "descriptor")] == [str(path)]


def test_descriptors_from_before_and_of_other_processes_are_not_named(found, tmp_path):
    (tmp_path / "notes").touch()
    with (tmp_path / "notes").open(), an_orphan(tmp_path):
        named, _ = found(contextlib.nullcontext())
    assert of_kind(named, "descriptor") == []


@contextlib.contextmanager
def a_database(admin, name, mark=None):
    admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
    if mark:
        Databases(admin).mark(name, Mark(kind="slot", blueprint="main"))
    try:
        yield name
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def executed(admin, before, after):
    admin.execute(before)
    try:
        yield
    finally:
        admin.execute(after)


@pytest.fixture
def ours(admin):
    """A database of ours on somebody else's server."""
    name = f"shop_test_template_{uuid.uuid4().hex[:12]}"
    with a_database(admin, name):
        yield name


@pytest.fixture
def theirs(admin):
    with a_database(admin, f"precious_{uuid.uuid4().hex[:8]}") as name:
        yield name


def test_databases_are_told_by_mark_or_by_names_that_only_we_give(found, admin):
    address = admin.conninfo
    for name, mark in (("left_marked", True), ("shop_test_building_0f1e2d3c4b5a", False)):
        named, _ = found(a_database(admin, name, mark), address)
        assert of_kind(named, "database") == [name]

    named, _ = found(a_database(admin, "precious"), address)
    assert of_kind(named, "database") == []


def test_roles_are_told_by_their_name(found, admin):
    for name, expected in (("freshpg_left", ["freshpg_left"]), ("bystander", [])):
        named, _ = found(
            executed(admin, f"CREATE ROLE {name}", f"DROP ROLE {name}"), admin.conninfo
        )
        assert of_kind(named, "role") == expected


def test_replication_slots_are_told_by_their_name_or_database(found, admin):
    for name, expected in (("freshpg_left", ["freshpg_left"]), ("bystander", [])):
        planting = executed(
            admin,
            f"SELECT pg_create_physical_replication_slot('{name}')",
            f"SELECT pg_drop_replication_slot('{name}')",
        )
        named, _ = found(planting, admin.conninfo)
        assert of_kind(named, "replication slot") == expected


def test_prepared_transactions_are_told_by_their_database(found, admin, ours, theirs):
    for database, expected in ((ours, ["left"]), (theirs, [])):
        with psycopg.connect(
            **admin.conninfo.with_(dbname=database).keywords(), autocommit=True
        ) as connection:

            @contextlib.contextmanager
            def prepared(connection=connection):
                connection.execute("BEGIN")
                connection.execute("CREATE TABLE t ()")
                connection.execute("PREPARE TRANSACTION 'left'")
                yield
                connection.execute("ROLLBACK PREPARED 'left'")

            named, _ = found(prepared(), admin.conninfo)
            assert of_kind(named, "prepared transaction") == expected


def test_connections_are_told_by_their_database(found, admin, ours, theirs):
    for database, count in ((ours, 1), (theirs, 0)):
        keywords = admin.conninfo.with_(dbname=database).keywords()
        watch = leftovers(admin.conninfo, patience=0)
        with psycopg.connect(**keywords) as connection:
            named = of_kind(watch.since(), "connection")
            pids = [name.split()[0] for name in named]
            assert pids == [str(connection.info.backend_pid)] * count


def test_a_base_directory_without_a_row_is_found_and_one_with_a_row_is_not(found, admin):
    base = Path(admin.value("SHOW data_directory"), "base")
    if not os.access(base, os.W_OK):
        pytest.skip("the server's files are not ours to read")
    named, path = found(an_entry(base / "999999", directory=True), admin.conninfo)
    assert of_kind(named, "base directory") == [str(path)]

    named, _ = found(a_database(admin, "precious"), admin.conninfo)
    assert of_kind(named, "base directory") == []


def test_on_a_server_of_ours_everything_counts(db, ground, monkeypatch):
    monkeypatch.setenv("FRESHPG_RUNTIME", str(ground))
    watch = leftovers(db, kinds={"connection", "role"}, patience=0)
    with db.connect(application_name="anybody"):
        (left,) = watch.since()
    assert left.kind == "connection"
    assert "anybody" in left.detail


def test_the_block_raises_what_was_left_and_waits_for_what_goes(root):
    with pytest.raises(LeftBehind, match="0123") as caught, leftovers(patience=0, kinds={"file"}):
        (root / "0123").touch()
    assert [(one["kind"], one["name"]) for one in caught.value.things] == [
        ("file", str(root / "0123"))
    ]
    (root / "0123").unlink()

    with leftovers(), a_child() as pid:
        pass
    assert pid


def test_an_error_in_the_block_is_not_hidden(root):
    watch = leftovers(patience=0, kinds={"file"})

    def fail():
        with watch:
            (root / "0123").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [one.name for one in watch.found] == [str(root / "0123")]


def test_snapshots_can_be_compared_with_each_other(root):
    watch = leftovers(kinds={"file"})
    (root / "one").touch()
    between = watch.look()
    (root / "two").touch()

    assert [one.name for one in watch.look().since(watch.before)] == [
        str(root / "one"),
        str(root / "two"),
    ]
    assert [one.name for one in watch.look().since(between)] == [str(root / "two")]
    assert len(between) == 1


def test_every_kind_is_looked_for_by_a_test_above():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []


def test_children_are_looked_at_while_threads_come_and_go():
    end = threading.Event()

    def churn():
        while not end.is_set():
            threads = [threading.Thread(target=int) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    # Fixtures of other tests may have some that live on.
    before = list(children())
    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(300):
            assert [child for child in children() if child not in before] == []
    finally:
        end.set()
        churning.join()
