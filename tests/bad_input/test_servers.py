"""Servers that are not there, not ours to use, too old, full, or that refuse the password."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import traceback
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from postgres_server import running_server

import freshpg
from freshpg.cli import main
from freshpg.core import errors
from freshpg.postgres.admin import Admin
from freshpg.servers.providers import embedded, system

SECRET = "hunter2-%40-sésame"
SPELLINGS = (SECRET, "hunter2-@-sésame", "hunter2", "s%C3%A9same")


@pytest.fixture
def no_programs(monkeypatch, tmp_path):
    """A machine without any PostgreSQL."""
    monkeypatch.setattr(embedded, "WHEELS", ())
    monkeypatch.setattr(system.SystemProvider.__init__, "__defaults__", (None, (), *_rest()))
    monkeypatch.setenv("PATH", str(tmp_path))


def _rest():
    return system.SystemProvider.__init__.__defaults__[2:]


@pytest.fixture(scope="module")
def guarded():
    """A server that asks for a password, as everybody's is; with two roles."""
    with running_server() as conninfo:
        with Admin.connect(conninfo) as admin:
            admin.execute("CREATE ROLE maker LOGIN CREATEDB PASSWORD 'right'")
            admin.execute("CREATE ROLE pauper LOGIN PASSWORD 'right'")
            hba = admin.value("SHOW hba_file")
            Path(hba).write_text("local all freshpg_admin trust\nlocal all all scram-sha-256\n")
            admin.execute("SELECT pg_reload_conf()")
        yield conninfo


@pytest.fixture
def databases_of(guarded):
    def ask():
        with Admin.connect(guarded) as admin:
            return {name for (name,) in admin.rows("SELECT datname FROM pg_database")}

    return ask


@pytest.fixture
def assert_said_everywhere(monkeypatch, capfd):
    """Return a check that Python gets an error that says it all, and the command line the same and an exit code."""

    def check(url, error, exit_code, *said):
        return _assert_said(url, error, exit_code, said, monkeypatch, capfd)

    return check


def _assert_said(url, error, exit_code, said, monkeypatch, capfd):  # noqa: PLR0917
    with (
        pytest.raises(error) as caught,
        freshpg.database("schema.sql", server=url, allow_create=True),
    ):
        pass
    monkeypatch.setenv("FRESHPG_SERVER", url)
    monkeypatch.setenv("FRESHPG_ALLOW_CREATE", "1")
    assert main(["run", "--", "true"]) == exit_code
    told = capfd.readouterr().err
    for text in (str(caught.value), told):
        assert caught.value.code in text
        assert all(words in text for words in said), text
        assert "Traceback" not in text
    return caught.value


@pytest.fixture(autouse=True)
def in_project(project, monkeypatch):
    monkeypatch.chdir(project)


def test_no_server_to_be_had_says_what_was_tried_and_what_to_install(no_programs, project, capfd):
    with pytest.raises(errors.NoServer) as caught, freshpg.database("schema.sql"):
        pass
    text = str(caught.value)
    assert "embedded: no wheel" in text
    assert "system: no PostgreSQL server is installed" in text
    assert "pip install 'freshpg[server]'" in text
    assert main(["run", "--", "/bin/true"]) == 3
    assert capfd.readouterr().err.startswith("FPG-S01 no PostgreSQL server to be had\n")


@pytest.mark.parametrize(
    "url, said",
    [
        ("postgresql://me@127.0.0.1:{port}/app", "127.0.0.1"),
        ("postgresql://me@/app?host=/nowhere/at/all", "/nowhere/at/all"),
        ("host=127.0.0.1 port={port} user=me", "127.0.0.1"),
        ("postgresql://me@no-such-host.invalid/app", "no-such-host.invalid"),
    ],
)
def test_a_server_that_does_not_answer_is_named(assert_said_everywhere, url, said):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert_said_everywhere(url.format(port=port), errors.ServerUnreachable, 3, said)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me@localhost/app",
        "postgresql://me@localhost:99999/app",
        "postgresql://me@localhost:5432abc/app",
        "postgresql://me:%zz@localhost/app",
        "postgresql://me@localhost/app?nonsense=1",
        '{"host": "localhost"}',
    ],
)
def test_an_address_that_is_none_is_refused_before_anybody_is_asked(url, monkeypatch, capfd):
    with pytest.raises(errors.ConfigurationError), freshpg.database("schema.sql", server=url):
        pass
    monkeypatch.setenv("FRESHPG_SERVER", url)
    assert main(["run", "--", "true"]) == 2
    assert capfd.readouterr().err.startswith("FPG-C")


def test_a_refused_login_is_told_without_the_password(
    guarded, databases_of, assert_said_everywhere
):
    before = databases_of()
    url = guarded.with_(user="maker", password="wrong-and-secret").url()
    error = assert_said_everywhere(url, errors.LoginRefused, 3, "maker")
    assert "wrong-and-secret" not in str(error)
    assert databases_of() == before


def test_no_right_to_create_databases_says_which_statement_gives_it(
    guarded, databases_of, assert_said_everywhere
):
    before = databases_of()
    url = guarded.with_(user="pauper", password="right").url()
    assert_said_everywhere(
        url,
        errors.CreateDatabaseRefused,
        3,
        'ALTER ROLE "pauper" CREATEDB',
    )
    assert databases_of() == before


def test_a_password_is_shown_nowhere_whatever_fails(guarded, project, monkeypatch, capfd, caplog):
    """Output, log, repr, tracebacks with the values of all variables, JSON, and what a child process can see."""
    caplog.set_level(logging.DEBUG)
    url = f"postgresql://maker:{SECRET}@/app?host={guarded.host}&port={guarded.port}"
    monkeypatch.setenv("FRESHPG_SERVER", url)
    monkeypatch.setenv("FRESHPG_ALLOW_CREATE", "1")
    with pytest.raises(errors.LoginRefused) as caught, freshpg.database("schema.sql"):
        pass
    shown = [
        str(caught.value),
        repr(caught.value),
        repr(caught.value.data),
        repr(caught.value.to_json()),
    ]
    shown += _with_locals(caught.value)
    settings = freshpg.Settings.from_project()
    shown += [repr(settings), str(settings), repr(freshpg.DatabaseManager(settings).__dict__)]
    for command in (
        ["run", "--", "true"],
        ["run", "--json", "--", "true"],
        ["config"],
        ["config", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["status"],
        ["up"],
        ["templates"],
        ["run", "--debug", "--", "true"],
    ):
        try:
            main(command)
        except errors.FreshpgError as error:
            shown += ["".join(traceback.format_exception(error)), *_with_locals(error)]
        shown += [f"{command}: {text}" for text in capfd.readouterr()]
    shown.append(caplog.text)
    leaks = [(spelling, text) for text in shown for spelling in SPELLINGS if spelling in text]
    assert leaks == []


def _with_locals(error):
    """What a traceback with the values of local variables shows, as pytest -l and error trackers print it."""
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = []
    while captured is not None:
        for frame in captured.stack:
            if "freshpg" in frame.filename and "tests" not in frame.filename:
                ours += [
                    f"{frame.filename}:{frame.lineno} {key}={value}"
                    for key, value in (frame.locals or {}).items()
                ]
        captured = captured.__cause__ or captured.__context__
    return ours


@pytest.mark.parametrize(
    "version, word", [("14.2", "15 is the oldest"), ("9.6.24", "15 is the oldest")]
)
def test_a_server_that_is_too_old_is_told_by_its_version(assert_said_everywhere, version, word):
    """A stub that speaks the protocol as far as the question goes: there is no such server to install any more."""
    with old_server(version) as port:
        url = f"postgresql://me@127.0.0.1:{port}/app?sslmode=disable&gssencmode=disable"
        assert_said_everywhere(url, errors.ServerTooOld, 3, version, word)


@contextmanager
def old_server(version):
    """Speak protocol 3.0 as a server of this version; answer every query with one row about itself."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                _speak(connection, stream, version)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _message(kind, body):
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def _speak(connection, stream, version):
    """https://www.postgresql.org/docs/current/protocol-flow.html"""
    size = int.from_bytes(stream.read(4), "big")
    stream.read(size - 4)
    parameters = {"server_version": version, "client_encoding": "UTF8", "standard_conforming_strings": "on",
                  "DateStyle": "ISO, MDY", "TimeZone": "UTC", "integer_datetimes": "on"}  # fmt: skip
    told = b"".join(
        _message(b"S", f"{key}\0{value}\0".encode()) for key, value in parameters.items()
    )
    ready = _message(b"Z", b"I")
    connection.sendall(
        _message(b"R", bytes(4)) + told + _message(b"K", bytes([0, 0, 0, 7, 0, 0, 0, 9])) + ready
    )
    columns = [("server_version", 25, version), ("pid", 23, "7"), ("standby", 16, "f"), ("read_only", 16, "f"),
               ("rolsuper", 16, "t"), ("rolcreatedb", 16, "t"), ("rolcreaterole", 16, "t"), ("rolname", 19, "me")]  # fmt: skip
    described = len(columns).to_bytes(2, "big") + b"".join(
        name.encode()
        + bytes(7)
        + oid.to_bytes(4, "big")
        + b"\xff\xff"
        + b"\xff\xff\xff\xff"
        + bytes(2)
        for name, oid, _ in columns
    )
    row = len(columns).to_bytes(2, "big") + b"".join(
        len(value).to_bytes(4, "big") + value.encode() for _, _, value in columns
    )
    while kind := stream.read(1):
        stream.read(int.from_bytes(stream.read(4), "big") - 4)
        if kind == b"Q":
            connection.sendall(
                _message(b"T", described)
                + _message(b"D", row)
                + _message(b"C", b"SELECT 1\0")
                + ready
            )


@pytest.fixture
def small_disk(tmp_path):
    """Yield a file system of 8 MB that belongs to PostgreSQL's user."""
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    place = Path(tempfile.mkdtemp(prefix="fpgt-small-", dir="/dev/shm"))
    user = pwd.getpwnam("postgres")
    options = f"size=8m,mode=0700,uid={user.pw_uid},gid={user.pw_gid}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


def test_a_full_disk_in_the_middle_of_a_migration_is_told_as_that(
    small_disk, guarded, databases_of, project, make_manager
):
    """In a tablespace: where the write-ahead log finds no room, PostgreSQL ends itself and nobody is told why."""
    with Admin.connect(guarded) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        admin.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
    before = databases_of()
    url = guarded.with_(user="maker", password="right").url()
    (project / "schema.sql").write_text("CREATE TABLE customer (id int, name text);\n")
    (project / "big.sql").write_text(
        "CREATE TABLE big (text text) TABLESPACE small;\nALTER TABLE big ALTER text SET STORAGE EXTERNAL;\n"
        "INSERT INTO big SELECT repeat(md5(n::text), 100) FROM generate_series(1, 10000) AS n;\n"
    )
    databases = {"main": {"name": "big_test", "migrations": ["schema.sql", "big.sql"]}}
    manager = make_manager(server=url, allow_create=True, databases=databases)
    with pytest.raises(errors.DiskFull, match=r"(?s)big\.sql:3.*53100"):
        manager.acquire()
    assert databases_of() - before <= {"freshpg_coordination"}
    assert not any(
        path.is_file() and path.stat().st_size
        for path in small_disk.rglob("*")
        if path.name != "PG_VERSION"
    )
    (project / "big.sql").write_text("CREATE TABLE big (text text) TABLESPACE small;\n")
    again = make_manager(server=url, allow_create=True, databases=databases)
    with again, again.lease() as database:
        assert database.name.startswith("big_test")
    with Admin.connect(guarded) as admin:
        for (name,) in admin.rows("SELECT datname FROM pg_database WHERE datname LIKE 'big_test%'"):
            admin.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        # Files of dropped tables stay until a checkpoint.
        admin.execute("CHECKPOINT")
        admin.execute("DROP TABLESPACE small")
