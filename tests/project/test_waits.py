"""Nothing in freshpg waits for ever: tools/check_waits.py reads every call, and must not be blind."""

import importlib.util
import inspect
import sys
from pathlib import Path

import asyncpg
import psycopg.conninfo
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_waits():
    spec = importlib.util.spec_from_file_location("check_waits", ROOT / "tools/check_waits.py")
    module = importlib.util.module_from_spec(spec)
    # Where its dataclasses look for themselves.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def judge(tmp_path, check_waits):
    def judge_one(text):
        (tmp_path / "module.py").write_text(text)
        return [wait.why for wait in check_waits.find_waits(tmp_path)]

    return judge_one


def test_no_call_of_ours_waits_without_a_deadline(check_waits):
    assert check_waits.faults() == []


UNBOUNDED = [
    "import subprocess\nsubprocess.run(['x'], check=True)",
    "import subprocess as s\ns.check_output(['x'])",
    "from subprocess import run\nrun(['x'], check=True)",
    "import subprocess\nwith subprocess.Popen(['x']): pass",
    "process.communicate()",
    "process.communicate(b'text')",
    "process.wait()",
    "process.wait(timeout=None)",
    "event.wait()",
    "def f(limit: float | None):\n    event.wait(limit)",
    "class A:\n    def f(self) -> float | None: ...\n    def g(self):\n        look.poll(self.f())",
    "future.result()",
    "lock.acquire()",
    "lock.acquire(True)",
    "lock.acquire(blocking=True)",
    "queue.get()",
    "queue.get(True)",
    "thread.join()",
    "thread.join(None)",
    "import select\nselect.select([a], [], [])",
    "import select\nselect.select([a], [], [], None)",
    "selector.select()",
    "sock.recv(1)",
    "sock.accept()",
    "sock.sendall(b'x')",
    "import socket\nsocket.create_connection(('h', 1))",
    "import os\nos.waitpid(pid, 0)",
    "import os\nos.wait()",
    "import os\nos.read(fd, 1)",
    "import os\nreader, writer = os.pipe()\nopen(reader).read()",
    "import fcntl\nfcntl.flock(fd, fcntl.LOCK_EX)",
    "import signal\nsignal.pause()",
    "import asyncio\nasync def f():\n    await event.wait()",
    "import asyncio\nasync def f():\n    await asyncio.wait([task])",
    "import asyncio\nasync def f():\n    async with asyncio.timeout(None):\n        await event.wait()",
    "import psycopg\npsycopg.connect('')",
    "import psycopg\npsycopg.connect('', connect_timeout=1)",
    "import psycopg\nasync def f():\n    await psycopg.AsyncConnection.connect('')",
    "import click\nclick.confirm('sure?')",
    "from urllib.request import urlopen\nurlopen('http://x')",
]


@pytest.mark.parametrize("text", UNBOUNDED)
def test_a_call_that_may_wait_for_ever_is_found(text, judge):
    assert len(judge(text)) == 1


BOUNDED = [
    "import subprocess\nsubprocess.run(['x'], check=True, timeout=1)",
    "import subprocess\nprocess = subprocess.Popen(['x'])",
    "process.communicate(timeout=1)",
    "process.communicate(b'text', 1)",
    "process.wait(5)",
    "event.wait(timeout=limit)",
    "process.poll()",
    "look.poll(0)",
    "lock.acquire(timeout=1)",
    "lock.acquire(False)",
    "pool.acquire('main')",
    "{}.get('x')",
    "queue.get(timeout=1)",
    "', '.join(words)",
    "thread.join(1)",
    "import select\nselect.select([a], [], [], 1)",
    "def f():\n    sock.settimeout(1)\n    sock.recv(1)",
    "import os\nos.waitpid(-1, os.WNOHANG)",
    "import fcntl\nfcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "import fcntl\nfcntl.flock(fd, fcntl.LOCK_UN)",
    "import asyncio\nasync def f():\n    await asyncio.wait_for(event.wait(), 1)",
    "import asyncio\nasync def f():\n    async with asyncio.timeout(1):\n        await event.wait()",
    "from contextvars import ContextVar\nmode: ContextVar[str] = ContextVar('mode')\nmode.get()",
    "import psycopg\ndef f(words):\n    words |= {'connect_timeout': 1, 'options': '-c statement_timeout=1'}\n    psycopg.connect(**words)",
]


@pytest.mark.parametrize("text", BOUNDED)
def test_a_call_with_a_deadline_and_one_that_does_not_wait_pass(text, judge):
    assert judge(text) == []


def test_a_reason_that_no_call_needs_any_more_is_a_fault(tmp_path, check_waits):
    (tmp_path / "module.py").write_text("event.wait()\n")
    allowed = {"module.py <module>: event.wait()": "why", "module.py <module>: gone()": "why"}
    assert check_waits.faults(tmp_path, allowed) == [
        "tools/check_waits.py allows what is not there: module.py <module>: gone()"
    ]


def test_each_reason_says_something(check_waits):
    assert all(len(reason.split()) > 2 for reason in check_waits.ALLOWED.values())


def test_drivers_end_an_attempt_to_connect_by_themselves():
    # What ALLOWED says of sessions that are the user's.
    assert psycopg.conninfo.timeout_from_conninfo({}) == 130
    assert inspect.signature(asyncpg.connect).parameters["timeout"].default == 60
