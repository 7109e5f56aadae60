"""No secret in anything that freshpg says, writes or hands to a process, whatever fails."""

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from security.canaries import canaries

import freshpg
from freshpg.cli import main
from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import FreshpgError
from freshpg.core.settings import load_settings
from freshpg.postgres.admin import Admin

NOWHERE = ("127.0.0.1", 1)
PLACES = canaries(*NOWHERE)
COMMANDS = [
    ["config"],
    ["config", "--json"],
    ["doctor"],
    ["doctor", "--json"],
    ["status"],
    ["status", "--json"],
    ["templates", "--json"],
    ["clean", "--json"],
    ["run", "--", "true"],
    ["run", "--json", "--", "true"],
    ["psql", "--", "-c", "SELECT 1"],
]


@pytest.fixture
def plant(tmp_path, monkeypatch, at_home, street):
    """Put one canary into a project of its own, and go there."""

    def put(canary):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "schema.sql").write_text("SELECT 1;\n")
        for name, text in canary.files:
            path = tmp_path / name
            path.write_text(text)
            path.chmod(0o700 if text.startswith("#!") else 0o600)
        for name, value in canary.variables:
            is_file = any(value == file for file, _ in canary.files)
            monkeypatch.setenv(name, str(tmp_path / value) if is_file else value)
        server = f"server = {json.dumps(canary.server)}\n" if canary.server else ""
        (tmp_path / "freshpg.toml").write_text(
            f"linger = 0\n{server}\n[databases.main]\nname = 'canary_test'\nmigrations = {json.dumps(canary.migrations)}\n"
        )
        return tmp_path

    return put


def everything_written(directory, canary):
    """What stands in files that are not where it was planted."""
    planted = {name for name, _ in canary.files} | {"freshpg.toml"}
    return "".join(
        path.read_bytes().decode(errors="replace")
        for path in directory.rglob("*")
        if path.is_file() and path.name not in planted
    )


def is_told(canary, *texts):
    return [one for one in texts for word in canary.spellings() if word in one]


def test_there_are_thirty():
    assert len({canary.place for canary in PLACES}) == len(PLACES) >= 30
    assert len({canary.word for canary in PLACES}) == len(PLACES)


def _commands(canary):
    # A migration is run by one alone; the others only look.
    return [["config", "--json"], ["run", "--", "true"]] if canary.migrations != ("schema.sql",) else COMMANDS  # fmt: skip


@pytest.mark.parametrize("canary", PLACES, ids=lambda canary: canary.place)
def test_no_command_tells_it(canary, plant, capfd):
    directory = plant(canary)
    for words in _commands(canary):
        with suppress(SystemExit):
            main(words)
        out, err = capfd.readouterr()
        assert not is_told(canary, out, err), words
    assert not is_told(canary, everything_written(directory, canary))


@pytest.mark.parametrize("canary", PLACES, ids=lambda canary: canary.place)
def test_no_error_and_no_object_tells_it(canary, plant):
    plant(canary)
    texts = []
    try:
        settings = load_settings(Path.cwd(), environment=os.environ)
        manager = freshpg.DatabaseManager(settings)
        texts += [repr(settings), str(settings), repr(manager), repr(settings.conninfo)]
        texts += [f"{settings.conninfo}", *map(repr, settings.databases.values())]
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            texts.append(repr(pickle.loads(pickle.dumps(settings))))
        texts += [
            repr(freshpg.Blueprint.from_settings(settings, name)) for name in settings.databases
        ]
        if canary.server:
            manager.start()
    except FreshpgError as error:
        texts += _all_of(error)
    finally:
        with suppress(UnboundLocalError):
            manager.stop()
    assert texts
    assert not is_told(canary, *texts)


def _all_of(error):
    """Whatever may be shown of an error."""
    again = pickle.loads(pickle.dumps(error))
    shown = traceback.TracebackException.from_exception(error)
    data = json.dumps(error.to_json(), default=repr)
    return [str(error), repr(error), str(again), repr(again.data), data, repr(vars(error)), "".join(shown.format(chain=True))]  # fmt: skip


class Answering(threading.Thread):
    """Something at a port that takes a login and answers in its own way."""

    def __init__(self, words):
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._words = words
        self.start()

    def run(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError):
                    client.settimeout(5)
                    first = client.recv(4096)
                    if first[4:8] in {b"\x04\xd2\x16/", b"\x04\xd2\x160"}:
                        client.sendall(b"N")
                        first = client.recv(4096)
                    body = (
                        b"SFATAL\0VFATAL\0C28P01\0M"
                        + self._words.encode(errors="replace")
                        + b"\0\0"
                    )
                    client.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)

    def close(self):
        self._listener.close()


@pytest.fixture
def server_that_says():
    made = []

    def make(words):
        made.append(Answering(words))
        return made[-1].port

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "word", ["k4n4r1xx", "k4n4r1xx p@ss:w/rd", "k4n4r1xx'quoted\"", "k4n4r1xx\\back"]
)
def test_a_server_that_quotes_the_password_is_not_quoted(server_that_says, word):
    port = server_that_says(
        f"password {word} of postgresql://tester:{word}@here/x is wrong, password='{word}'"
    )
    address = Conninfo("127.0.0.1", port, "tester", word, "postgres")
    with pytest.raises(FreshpgError) as caught:
        Admin.connect(address)
    assert not [text for text in _all_of(caught.value) if "k4n4r1" in text]
    assert "is wrong" in str(caught.value)


def test_a_server_that_sends_sequences_for_terminals_does_not_reach_one(
    server_that_says, plant, capfd
):
    port = server_that_says(
        "no \x1b[2J\x1b]0;title\x07\r\u202e\x9b31m\n::error::really\n##[error]too"
    )
    from security.canaries import Canary

    plant(Canary("", "none", server=f"postgresql://tester@127.0.0.1:{port}/postgres"))
    for words in (["doctor"], ["doctor", "--json"], ["run", "--", "true"], ["status"], ["status", "--json"], ["templates"]):  # fmt: skip
        with suppress(SystemExit):
            main(words)
        out, err = capfd.readouterr()
        for text in (out, err):
            lines = text.splitlines()
            assert all(line.isprintable() for line in lines), words
            assert not [line for line in lines if line.strip().startswith("::") or "##[" in line]


TEST = """
import pytest

def test_of_a_database(pg):
    secret = pg.conninfo.password
    assert False

def test_of_a_connection(pg_conn):
    assert pg_conn.execute("SELECT 1").fetchone() == 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("canary", PLACES[::3], ids=lambda canary: canary.place)
def test_no_report_of_pytest_tells_it(canary, plant):
    directory = plant(canary)
    (directory / "test_it.py").write_text(TEST)
    words = ["-vv", "--showlocals", "--junit-xml=report.xml", "--tb=long", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:django",
             "-p", "no:pytest_postgresql", "-n", "1"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert not is_told(canary, done.stdout, done.stderr, everything_written(directory, canary))


def test_the_password_of_a_port_stands_in_no_command_line_and_no_log(plant, capfd):
    """With --tcp there is a password of our own making: only the program that is run gets it."""
    from security.canaries import Canary

    directory = plant(Canary("", "none"))
    script = (
        "import os, glob, json;"
        "found = [open(f, 'rb').read().decode(errors='replace') for f in glob.glob('/proc/[0-9]*/cmdline')"
        " if os.path.exists(f)];"
        "json.dump({'password': os.environ['PGPASSWORD'], 'lines': found, 'listening': open('/proc/net/tcp').read()}, open('seen.json', 'w'))"
    )
    with suppress(SystemExit):
        main(["run", "--tcp", "0", "--", sys.executable, "-c", script])
    out, err = capfd.readouterr()
    seen = json.loads((directory / "seen.json").read_text())
    (directory / "seen.json").unlink()
    assert len(seen["password"]) >= 22
    texts = [out, err, *seen["lines"], everything_written(directory, Canary("", "none"))]
    assert not [text for text in texts if seen["password"] in text]
