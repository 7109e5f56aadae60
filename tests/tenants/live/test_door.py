"""Who may ask a process about its tenant pools, and what the dead leave."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from freshpg.core.errors import PathUnusable
from freshpg.tenants.live.client import ask_everybody
from freshpg.tenants.live.door import Door

SHOWING = """
import os, sys, time
from freshpg.tenants.live.door import Door
door = Door({"echo": lambda question: {"heard": question}})
"""
WAITING = "print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def process(place):
    """Start a process that shows itself and return it once it does."""
    started = []

    def start(script=WAITING):
        process = subprocess.Popen(
            [sys.executable, "-c", SHOWING + script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | place,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for one in started:
        with one:
            one.kill()


def ask(place, **question):
    return ask_everybody(question, environ=place, seconds=10)


def test_our_own_user_gets_an_answer(place, door):
    (answer,) = ask(place, ask="echo", word="hello")

    assert answer.pid == os.getpid()
    assert answer.said == {"heard": {"ask": "echo", "word": "hello"}}


def test_nobody_else_can_reach_the_socket(home, door):
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(door.path.stat().st_mode) == 0o600


def test_a_umask_that_takes_everything_away_does_not_lock_us_out(place):
    before = os.umask(0o777)
    try:
        door = Door({"echo": lambda question: question}, environ=place)
    finally:
        os.umask(before)
    with_answer = ask(place, ask="echo")
    door.close()

    assert [answer.problem for answer in with_answer] == [""]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_gets_as_far_as_the_socket_gets_no_answer(home, door):
    for path, mode in ((home.parent, 0o711), (home, 0o711), (door.path, 0o666)):
        path.chmod(mode)
    script = f"""
import os, socket
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
client.connect({str(door.path)!r})
try:
    client.sendall(b'{{"ask": "echo"}}\\n')
    print(client.recv(100))
except ConnectionError:
    print(b"")
"""
    said = subprocess.run(
        [sys.executable, "-I", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout

    assert said == "b''\n"


def test_a_directory_that_others_may_enter_is_refused_and_left_as_it_is(place, home):
    home.mkdir()
    home.chmod(0o755)

    with pytest.raises(PathUnusable, match="others may enter it"):
        Door({}, environ=place)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    assert list(home.iterdir()) == []


def test_a_link_in_the_place_of_the_directory_is_refused(place, home, tmp_path):
    home.symlink_to(tmp_path)

    with pytest.raises(PathUnusable, match="a symbolic link"):
        Door({}, environ=place)
    assert ask(place, ask="echo") == []


def test_a_path_too_long_for_a_socket_says_what_to_set(tmp_path):
    with pytest.raises(PathUnusable, match="set FRESHPG_RUNTIME"):
        Door({}, environ={"FRESHPG_RUNTIME": str(tmp_path / ("x" * 100))})


def test_a_closed_door_leaves_no_thread_and_no_socket(place, home):
    threads = threading.active_count()
    door = Door({}, environ=place)
    during = threading.active_count()
    door.close()
    door.close()

    assert (during, threading.active_count()) == (threads + 1, threads)
    assert list(home.iterdir()) == []


def test_two_doors_of_one_process_answer_both(place, door):
    other = Door({"echo": lambda _: {"other": True}}, environ=place)
    answers = ask(place, ask="echo")
    other.close()

    assert [answer.pid for answer in answers] == [os.getpid()] * 2


def test_rubbish_is_answered_with_silence_and_the_next_one_is_heard(place, door):
    for rubbish in (b"\n", b"[1]\n", b"\xff\xfe\n", b"x" * 5000, b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(door.path))
            client.sendall(rubbish)
            client.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                assert client.recv(10) == b""

    assert [answer.problem for answer in ask(place, ask="echo")] == [""]


def test_an_unknown_question_is_answered_with_those_there_are(place, door):
    (answer,) = ask(place, ask="explode")

    assert "answers echo" in answer.problem


def test_an_answer_that_fails_is_told_and_the_next_one_is_given(place):
    def fail(question):
        raise ZeroDivisionError(question["by"])

    door = Door({"fail": fail, "work": lambda _: {"done": True}}, environ=place)
    (failed,), (done,) = ask(place, ask="fail", by="zero"), ask(place, ask="work")
    door.close()

    assert "ZeroDivisionError: zero" in failed.problem
    assert done.said == {"done": True}


def test_a_process_that_does_not_answer_is_said_to_be_silent(place, door):
    name = door.path.with_name("4711-silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(name))
        silent.listen()
        answers = ask_everybody({"ask": "echo"}, environ=place, seconds=0.05, pid=4711)
    name.unlink()

    assert [(answer.pid, answer.problem) for answer in answers] == [
        (4711, "it said nothing for 0.05 s")
    ]


def test_the_socket_of_a_killed_process_is_removed_by_whoever_looks_next(place, home, process):
    killed = process()
    (before,) = ask(place, ask="echo")
    killed.kill()
    killed.wait(10)

    assert before.pid == killed.pid
    assert len(list(home.iterdir())) == 1
    assert ask(place, ask="echo") == []
    assert list(home.iterdir()) == []


def test_a_process_that_ends_without_closing_its_door_leaves_no_socket(home, process):
    ended = process()
    ended.stdin.close()

    assert ended.wait(10) == 0
    assert list(home.iterdir()) == []


def test_a_child_of_a_dead_process_keeps_nobody_waiting(place, process):
    parent = process(
        """
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print('ready', flush=True)
print(child, flush=True)
sys.stdin.read()
"""
    )
    child = int(parent.stdout.readline())
    (alive,) = ask(place, ask="echo")
    parent.kill()
    parent.wait(10)
    answers = ask(place, ask="echo")
    # Fails when the child is not there any more.
    os.kill(child, signal.SIGKILL)

    assert alive.pid == parent.pid
    assert answers == []
