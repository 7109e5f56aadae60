"""What the tests of the kernel share: another user, and one small server for the rendered addresses."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import hypothesis
import psycopg
import pytest
from postgres_server import binaries_at_hand

from freshpg.core.clock import Deadline
from freshpg.core.conninfo import Conninfo
from freshpg.servers import runas


@pytest.fixture
def readable_directory():
    """A directory that every user may enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="freshpg-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def as_nobody():
    """Root may read everything; a test about permissions steps down for a moment."""

    @contextlib.contextmanager
    def step_down():
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return step_down


# A busy machine is no fault of the code; a whole suite of properties stays within seconds.
hypothesis.settings.register_profile("core", deadline=None, max_examples=60)
hypothesis.settings.load_profile("core")

PORT = 5439
"""Not the default: an address that loses its port must not work by luck."""


@pytest.fixture(scope="session")
def awkward_server():
    """A server whose socket directory needs percent-encoding, with a database that does too."""
    run_as = runas.choose()
    binaries = binaries_at_hand(run_as).bindir
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    user = None if run_as.is_ourselves else run_as.uid
    with tempfile.TemporaryDirectory(dir=base, prefix="fpg core+é") as directory:
        if user:
            shutil.chown(directory, user)
        data = f"{directory}/data"
        initdb = [
            f"{binaries}/initdb",
            "-D",
            data,
            "-U",
            "own er",
            "-A",
            "trust",
            "-N",
            "--no-locale",
        ]
        subprocess.run([*initdb, "-E", "UTF8"], user=user, cwd="/", check=True, capture_output=True)
        subprocess.run(
            [f"{binaries}/postgres", "--single", "-D", data, "postgres"],
            input=b'CREATE DATABASE "sho p+%20/x?#"',
            user=user,
            cwd="/",
            check=True,
            capture_output=True,
        )
        options = ["fsync=off", "listen_addresses=", f"unix_socket_directories={directory}"]
        argv = [f"{binaries}/postgres", "-D", data, "-p", str(PORT)]
        for option in options:
            argv += ["-c", option]
        with Path(directory, "log").open("wb") as log:
            postmaster = subprocess.Popen(argv, user=user, stderr=log, stdout=log, cwd="/")
        try:
            conninfo = Conninfo(host=directory, port=PORT, user="own er", dbname="sho p+%20/x?#")
            wait_until_it_answers(conninfo)
            yield conninfo
        finally:
            postmaster.send_signal(signal.SIGQUIT)
            postmaster.wait(10)


def wait_until_it_answers(conninfo):
    deadline = Deadline(15)
    while True:
        try:
            psycopg.connect(**conninfo.keywords()).close()
        except psycopg.OperationalError:
            if deadline.expired:
                raise
        else:
            return
