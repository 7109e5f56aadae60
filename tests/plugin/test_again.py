"""A test whose server was lost under it is run once more; one that failed by itself is not."""

import json

import pytest

from freshpg.core.errors import KeeperGone
from freshpg.manager import DatabaseManager

KILL = """
import os, signal
from pathlib import Path

RUNS = Path("runs")

def run_of(name):
    with RUNS.open("a") as file: file.write(name + "\\n")
    return RUNS.read_text().split().count(name)

def kill_server(db):
    '''The postmaster dies, and with it every session.'''
    with db.connect() as connection:
        lock = Path(db.conninfo.host, f".s.PGSQL.{db.conninfo.port}.lock")
        os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        while True: connection.execute("SELECT 1")

def rows(db):
    with db.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        return connection.execute("SELECT count(*) FROM item").fetchone()[0]
"""


@pytest.fixture
def runs(suite):
    """How often each test ran."""
    suite.write("victims.py", KILL)
    suite.write("conftest.py", "import sys; sys.path.insert(0, '.')")

    def count(name):
        return (suite.path / "runs").read_text().split().count(name)

    return count


def test_a_test_that_lost_its_server_is_run_once_more_and_the_run_ends_green(suite, runs):
    suite.tests("""
from victims import *

def test_before(pg): assert rows(pg) == 2

def test_victim(pg):
    print("said by run", run_of("victim"))
    if run_of("turn") == 1: kill_server(pg)
    assert rows(pg) == 2

def test_after(pg): assert rows(pg) == 2
""")
    outcome = suite.run("-rA")
    assert outcome.counts == {"passed": 3, "rerun": 1}, outcome.text
    assert outcome.exit_code == 0
    assert runs("victim") == 2
    assert "0 ours, 0 yours, 1 infrastructure" in outcome.text
    assert (
        "run once more, because the server was lost under them: 1\n  test_it.py::test_victim"
        in outcome.text
    )
    assert "the first run lost its server" in outcome.text


@pytest.mark.parametrize(
    "body",
    [
        "assert False",
        "pg_conn.execute('SELEC 1')",
        "pg_conn.execute('SELECT pg_terminate_backend(pg_backend_pid())')",
        "import psycopg; psycopg.connect(host='/nowhere', dbname='x')",
        "raise ConnectionResetError",
    ],
)
def test_a_test_that_failed_by_itself_is_not_run_again(suite, runs, body):
    suite.tests(f"""
from victims import *

def test_it(pg_conn):
    run_of("it")
    {body}
""")
    assert suite.run().counts == {"failed": 1}
    assert runs("it") == 1


def test_a_test_that_needs_no_database_is_not_run_again(suite, runs):
    suite.tests("""
from victims import *

def test_it(pg_module): pass

def test_alone(request):
    run_of("alone")
    try: kill_server(request.node.module.lent)
    except Exception: pass
    assert False

@pytest.fixture(autouse=True, scope="module")
def lend(pg_module, request): request.module.lent = pg_module
""")
    # It asks for none by name, but through a fixture of its module it has one.
    assert suite.run().counts == {"passed": 1, "failed": 1, "rerun": 1}
    assert runs("alone") == 2


def test_a_test_that_loses_its_server_twice_fails_as_infrastructure(suite, runs):
    suite.tests("""
from victims import *

def test_it(pg):
    run_of("it")
    kill_server(pg)

def test_after(pg): assert rows(pg) == 2
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 1, "failed": 1, "rerun": 1}, outcome.text
    assert runs("it") == 2
    assert "2 infrastructure" in outcome.text


def test_fixtures_of_every_scope_are_made_anew_for_the_second_run(suite, runs):
    suite.tests("""
from victims import *

@pytest.fixture(scope="session")
def filled(pg_run):
    run_of("filled")
    rows(pg_run)
    yield pg_run
    run_of("emptied")

class TestIt:
    def setup_method(self): run_of("setup")

    def test_1(self, filled): assert rows(filled) == 3
    def test_2(self, filled, pg_class, pg):
        if run_of("turn") == 1: kill_server(pg)
        assert (rows(filled), rows(pg_class), rows(pg)) == (3, 2, 2)
    def test_3(self, filled, pg_class): assert rows(pg_class) == 3
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 3, "rerun": 1}, outcome.text
    assert (runs("filled"), runs("emptied"), runs("setup")) == (2, 2, 4)


def test_a_test_that_did_not_notice_the_end_of_its_server_is_run_again_and_the_next_one_is_not(
    suite, runs
):
    suite.tests("""
from victims import *

def test_1(pg):
    if run_of("it") == 1:
        try: kill_server(pg)
        except Exception: pass

def test_2(pg): assert rows(pg) == 2

def test_3(pg_module): assert rows(pg_module) == 2
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 3, "rerun": 1}, outcome.text


def test_tests_of_unittest_and_asynchronous_ones_are_run_once_more_too(suite, runs):
    suite.tests("""
from victims import *
import unittest

class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def lend(self, pg): self.pg = pg

    def setUp(self): run_of("setup")

    def test_it(self):
        if run_of("old") == 1: kill_server(self.pg)
        self.assertEqual(rows(self.pg), 2)

@pytest.mark.asyncio
async def test_new(pg_aconn, pg):
    if run_of("new") == 1: kill_server(pg)
    assert await (await pg_aconn.execute("SELECT 1")).fetchone() == (1,)
    assert rows(pg) == 2
""")
    outcome = suite.run()
    assert outcome.counts == {"passed": 2, "rerun": 2}, outcome.text
    assert runs("setup") == 2


@pytest.mark.slow
def test_a_worker_runs_its_test_again_and_the_controller_counts_it_once(suite, runs, until_gone):
    suite.tests("""
from victims import *

@pytest.mark.parametrize("turn", range(4))
def test_it(pg, turn):
    if turn == 1 and run_of("victim") == 1: kill_server(pg)
    assert rows(pg) == 2
""")
    outcome = suite.run_apart("-n2", "--junitxml=junit.xml")
    assert outcome.counts == {"passed": 4, "rerun": 1}, outcome.text
    assert "  test_it.py::test_it[1]" in outcome.text
    assert (suite.path / "junit.xml").read_text().count("<testcase ") == 4
    assert until_gone() == []


def test_a_server_lost_when_the_test_had_passed_is_no_second_pass(suite, runs):
    suite.tests("""
from victims import *

@pytest.fixture
def late(pg):
    yield pg
    if run_of("late") == 1: kill_server(pg)

def test_it(late): assert rows(late) == 2
""")
    outcome = suite.run("--junitxml=junit.xml", "-v")
    assert outcome.counts == {"passed": 1, "rerun": 1}, outcome.text
    assert (suite.path / "junit.xml").read_text().count("<testcase ") == 1


def test_the_first_failure_stops_no_run_that_stops_at_failures(suite, runs):
    suite.tests("""
from victims import *

def test_1(pg):
    if run_of("it") == 1: kill_server(pg)

def test_2(pg): pass
""")
    assert suite.run("-x").counts == {"passed": 2, "rerun": 1}


def test_the_log_tells_whose_each_failure_was(suite, runs):
    suite.tests("""
from victims import *

def test_yours(pg_conn): pg_conn.execute("SELECT 'postgresql://me:hush@db/x'::int")

def test_infrastructure(pg):
    if run_of("it") == 1: kill_server(pg)

def test_neither(): assert False
""")
    outcome = suite.run()
    entries = [
        json.loads(line)
        for line in (suite.path / ".freshpg" / "log" / "errors.jsonl").read_text().splitlines()
    ]
    told = {entry["test"]: entry for entry in entries if "test" in entry}
    assert set(told) == {"test_it.py::test_yours", "test_it.py::test_infrastructure"}
    yours = told["test_it.py::test_yours"]
    assert (yours["kind"], yours["code"], yours["phase"]) == ("yours", "SQL-22P02", "call")
    assert told["test_it.py::test_infrastructure"]["again"] is True
    assert "hush" not in json.dumps(entries)
    assert "failures: 0 ours, 1 yours, 1 infrastructure; more in .freshpg/log" in outcome.text


def test_a_server_that_cannot_be_had_is_tried_again_but_not_for_every_test(suite, monkeypatch):
    starts = []

    def fail(manager):
        starts.append(manager)
        raise KeeperGone("the keeper was asked to start")

    monkeypatch.setattr(DatabaseManager, "start", fail)
    suite.tests("""
@pytest.mark.parametrize("turn", range(5))
def test_it(pg, turn): pass
""")
    assert suite.run().counts == {"errors": 5, "rerun": 2}
    assert len(starts) == 3
