"""Run once more where the server is somebody else's, and inside subtests."""

from pathlib import Path

import pytest
from postgres_server import pg_ctl, running_server

COUNT = """
from pathlib import Path

def run_of(name):
    runs = Path("runs")
    with runs.open("a") as file: file.write(name + "\\n")
    return runs.read_text().split().count(name)

def rows(db):
    with db.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        return connection.execute("SELECT count(*) FROM item").fetchone()[0]
"""


@pytest.fixture
def counted(suite):
    """Functions for the tests of the suite, and how often one ran."""
    suite.write("victims.py", COUNT)
    suite.write("conftest.py", "import sys; sys.path.insert(0, '.')")
    return lambda name: (suite.path / "runs").read_text().split().count(name)


@pytest.fixture
def theirs(suite, monkeypatch):
    """A server of somebody else's, for the suite alone."""
    with running_server() as address:
        monkeypatch.setenv("FRESHPG_SERVER", address.url())
        monkeypatch.setenv("FRESHPG_ALLOW_CREATE", "1")
        yield address


def restart(address):
    """Crash a server and start it again, as its owner would."""
    where = Path(address.host)
    for words in (("-m", "immediate", "stop"), ("-l", str(where / "log"), "start")):
        pg_ctl(address, *words)


def test_a_lease_that_ends_on_somebody_elses_server_has_its_test_run_once_more(
    suite, counted, theirs
):
    suite.tests(f"""
from victims import *
import psycopg, time
from freshpg.pytest_plugin.run import RUN

def end_lease(db, config):
    with psycopg.connect({theirs.url()!r}, autocommit=True) as admin:
        assert admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'freshpg_coordination'"
        ).fetchall()
    end = time.monotonic() + 30
    with config.stash[RUN].lending.manager() as manager:
        while not manager.lost(db): assert time.monotonic() < end

def test_before(pg): assert rows(pg) == 2

def test_victim(pg, pytestconfig):
    if run_of("victim") == 1: end_lease(pg, pytestconfig)
    assert rows(pg) == 2

def test_after(pg): assert rows(pg) == 2
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 3, "rerun": 1}, outcome.text
    assert counted("victim") == 2
    assert "FPG-L02" in outcome.text


@pytest.mark.slow
def test_a_server_of_somebody_elses_that_crashes_and_comes_back_fails_no_run(
    suite, counted, theirs, monkeypatch
):
    monkeypatch.setattr(pytest, "restart_theirs", lambda: restart(theirs), raising=False)
    suite.tests("""
from victims import *

def test_victim(pg):
    if run_of("victim") == 1:
        pytest.restart_theirs()
    assert rows(pg) == 2

def test_after(pg_conn, pg): assert rows(pg) == 2
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 2, "rerun": 1}, outcome.text
    assert counted("victim") == 2


def test_a_subtest_that_loses_its_server_has_the_whole_test_run_once_more(suite, counted):
    suite.tests("""
from victims import *
import os, signal, unittest

def kill_server(db):
    with db.connect() as connection:
        lock = Path(db.conninfo.host, f".s.PGSQL.{db.conninfo.port}.lock")
        os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        while True: connection.execute("SELECT 1")

def test_it(pg, subtests):
    for turn in range(3):
        with subtests.test(turn=turn):
            if turn == 1 and run_of("victim") == 1: kill_server(pg)
            assert rows(pg) == 2 + turn

class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def lend(self, pg): self.pg = pg

    def test_it(self):
        for turn in range(2):
            with self.subTest(turn=turn):
                if turn == 0 and run_of("old") == 1: kill_server(self.pg)
                self.assertEqual(rows(self.pg), 2 + turn)

def test_own_fault(pg, subtests):
    run_of("own")
    with subtests.test(): assert rows(pg) == 99
""")
    outcome = suite.run()
    assert (counted("victim"), counted("old"), counted("own")) == (2, 2, 1), outcome.text
    # What failed by itself counts as pytest counts it: the subtest, and the test that has it.
    assert outcome.counts == {"passed": 2, "failed": 2, "rerun": 2}, outcome.text
    assert "0 ours, 0 yours, 2 infrastructure" in outcome.text
