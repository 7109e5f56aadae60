"""However a run ends, nothing of it stays."""

import os
import signal
import subprocess
import sys
import threading

import pytest

STUCK = """
import signal, time

# Whoever runs these tests may have told them to ignore these, as nohup does, and a shell with what it puts aside.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

def test_stuck(pg, pg_run):
    print("stuck", flush=True)
    signal.pause()
"""


@pytest.fixture
def stuck(suite, kill_group):
    """A run in the middle of a test."""

    def start(*words):
        suite.tests(STUCK)
        process = suite.start_apart("-s", *words)
        kill_group(process)
        for line in process.stdout:
            if "stuck" in line:
                return process
        raise AssertionError("the run never came to its test")

    return start


def test_one_control_c_gives_everything_back_and_still_sums_up(stuck, until_gone):
    process = stuck()
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "freshpg: 2 databases handed out" in rest
    assert until_gone() == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_run_that_is_killed_leaves_nothing(stuck, running, until_gone, name):
    process = stuck()
    assert running() != []
    os.killpg(process.pid, getattr(signal, name))
    process.communicate(timeout=30)
    assert until_gone() == []


def test_a_test_that_ends_the_process_leaves_nothing(suite, until_gone):
    suite.tests("import os\ndef test_it(pg): os._exit(0)")
    assert suite.run_apart().exit_code == 0
    assert until_gone() == []


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_test_ended_by_pytest_timeout_leaves_nothing(suite, until_gone, method):
    suite.tests("""
import threading

def test_fast(pg): pass

def test_slow(pg):
    with pg.connect(autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(60)")
""")
    outcome = suite.run_apart("--timeout=3", f"--timeout-method={method}")
    assert outcome.exit_code == 1, outcome.text
    assert until_gone() == []


def test_a_forked_child_takes_nothing_from_its_parent(suite, until_gone):
    suite.tests("""
import os, sys

def test_fork(pg, pg_conn, pg_run):
    child = os.fork()
    if child == 0:
        sys.exit(0)  # pytest goes on in the child, to the end of the run
    os.waitpid(child, 0)
    pg_conn.execute("INSERT INTO item (name) VALUES ('mine')")
    for database in (pg, pg_run):
        with database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM item").fetchone() == (1,)

def test_after(pg, pg_run):
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (1,)
""")
    outcome = suite.run_apart("-W", "ignore")
    assert outcome.exit_code == 0, outcome.text
    assert until_gone() == []


def test_pytest_can_run_twice_in_one_process(suite, until_gone):
    suite.tests("def test_it(pg): pass")
    script = suite.write(
        "twice.py",
        """
import pytest
for _ in range(2):
    assert pytest.main(["-p", "no:django", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]) == 0
""",
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=suite.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 database handed out") == 2
    assert until_gone() == []


def test_signal_handlers_stay_the_users(suite):
    suite.write(
        "conftest.py",
        """
import signal
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGPIPE")
before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}

def pytest_unconfigure(config):
    assert before == {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    print("handlers unchanged")
""",
    )
    suite.tests("""
from conftest import NAMES, before
import signal
def test_it(pg):
    assert before == {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
""")
    assert "handlers unchanged" in suite.run_apart("-s").text


def test_random_order_is_no_concern_of_ours(suite):
    suite.tests("""
@pytest.mark.parametrize("turn", range(5))
def test_it(pg, turn):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        assert connection.execute("SELECT max(id) FROM item").fetchone() == (2,)
""")
    outcome = suite.run_apart("-p", "randomly", neighbours=("django", "cacheprovider"))
    assert outcome.counts == {"passed": 5}, outcome.text


def test_no_thread_of_ours_is_left_when_the_run_is_over(suite):
    before = set(threading.enumerate())
    suite.tests("def test_it(pg, pg_run, pg_aconn): pass")
    assert suite.run().counts == {"passed": 1}
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert left == []
