"""A test that replaces the world around us, clocks, sockets, files, streams, and never puts it back."""

import pytest

WORLDS = {
    "the directory it works in is removed": """
import os, tempfile
place = tempfile.mkdtemp(); os.chdir(place); os.rmdir(place)
""",
    "sockets have a default timeout": "import socket; socket.setdefaulttimeout(1e-6)",
    "sockets are forbidden, as pytest-socket does": """
import socket
class Guard(socket.socket):
    def __new__(cls, *arguments, **options): raise RuntimeError("no sockets here")
socket.socket = Guard
""",
    "clocks stand still": """
import time
time.time = time.monotonic = time.perf_counter = lambda: 12.0
time.time_ns = time.monotonic_ns = time.perf_counter_ns = lambda: 12_000_000_000
""",
    "nobody sleeps": "import time; time.sleep = lambda seconds: None",
    "files are elsewhere, as with pyfakefs": """
import builtins, io
def refuse(*_, **__): raise FileNotFoundError("a fake file system")
builtins.open = refuse
""",
    "chance is fixed": "import random; random.seed(0); random.random = lambda: 0.5",
    "new files are nobody's": "import os; os.umask(0o777)",
    "signals are ignored": """
import signal
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGALRM", "SIGUSR1"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
""",
    "nobody reads the output": """
import sys
class Broken:
    def write(self, text): raise BrokenPipeError
    def flush(self): pass
sys.stdout = sys.stderr = Broken()
""",
    "there is no input": "import os; os.close(0)",
    "no program can be started": """
import os, subprocess
def refuse(*_, **__): raise RuntimeError("no programs here")
subprocess.Popen = subprocess.run = os.system = refuse
""",
    "temporary files have no place": "import tempfile; tempfile.tempdir = '/nowhere'",
    "nothing is collected": "import gc; gc.disable(); gc.freeze()",
    "nothing is logged": "import logging; logging.disable(); logging.raiseExceptions = False",
    "loggers raise": """
import logging
class Raising(logging.Handler):
    def emit(self, record): raise RuntimeError("logged")
    def handleError(self, record): raise
logging.getLogger().addHandler(Raising()); logging.getLogger().setLevel(0)
""",
    "warnings are errors": "import warnings; warnings.simplefilter('error')",
    "numbers are short": "import decimal; decimal.getcontext().prec = 1",
    "the environment is gone": """
import os
for name in {*os.environ} - {"PYTEST_CURRENT_TEST"}: del os.environ[name]
""",
    "the environment leads elsewhere": """
import os
os.environ.update(HOME="/nowhere", TMPDIR="/nowhere", PATH="", PGHOST="nowhere", PGPORT="1", LC_ALL="xx_XX")
""",
    "modules are not found any more": "import sys; sys.path.clear()",
}
TESTS = """
def rows(pg):
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('mine')")
        return connection.execute("SELECT count(*), max(id) FROM item").fetchone()

def test_before(pg): assert rows(pg) == (2, 2)

def test_hostile(pg, world):
    exec(world)
    assert rows(pg) == (2, 2)

def test_after(pg): assert rows(pg) == (2, 2)

@pytest.mark.pg(isolation="clone")
def test_clone(pg): assert rows(pg) == (2, 2)

@pytest.mark.pg(isolation="rollback")
def test_rollback(pg): assert rows(pg) == (2, 2)
"""


@pytest.mark.parametrize(
    "world",
    [
        pytest.param("\n".join(WORLDS.values()), id="all of it at once"),
        *(pytest.param(text, id=name, marks=pytest.mark.slow) for name, text in WORLDS.items()),
    ],
)
def test_the_world_may_change_in_the_middle_of_a_run(suite, until_gone, world):
    suite.write("conftest.py", f"import pytest\n@pytest.fixture\ndef world(): return {world!r}")
    suite.tests(TESTS)

    outcome = suite.run_apart("-s")

    assert outcome.exit_code == 0, outcome.text
    assert until_gone() == []


def test_a_failed_test_that_pins_its_session_keeps_no_database_from_the_next(suite):
    suite.tests("""
import sys

@pytest.mark.parametrize("turn", range(3))
def test_pins(pg, turn):
    connection = pg.connect()
    connection.execute("INSERT INTO item (name) VALUES ('pinned')")
    assert connection.execute("SELECT count(*) FROM item").fetchone() == (2,)
    connection.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
    try:
        raise LookupError("pinned")
    except LookupError:
        sys.last_type, sys.last_value, sys.last_traceback = sys.exc_info()
        raise
""")

    assert suite.run().counts == {"failed": 3}


def test_hypothesis_runs_every_example_from_the_template_when_told_to_reset(suite):
    suite.tests("""
from hypothesis import HealthCheck, given, settings, strategies

@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None, database=None)
@given(name=strategies.text(strategies.characters(codec="utf-8", exclude_characters="\\0")))
def test_it(pg, name):
    pg.reset()
    with pg.connect() as connection:
        connection.execute("INSERT INTO item (name) VALUES (%s)", (name,))
        assert connection.execute("SELECT count(*), max(id) FROM item").fetchone() == (2, 2)
""")

    assert suite.run().counts == {"passed": 1}
