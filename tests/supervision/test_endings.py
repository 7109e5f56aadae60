"""Ends of processes and connections are told by the kernel, once, to whoever asked."""

import os
import select
import socket
import subprocess
import sys
import threading

import pytest

from freshpg.supervision.endings import HUNG_UP, ProcessEnd, Watcher

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs descriptors of processes"
)


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def watcher():
    watcher = Watcher()
    yield watcher
    watcher.close()


def test_a_process_is_known_to_live_until_it_ends(child):
    end = ProcessEnd.of(child.pid)
    assert not end.ended
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert end.ended
    end.close()
    assert end.ended


def test_it_may_be_asked_while_another_thread_asks(child):
    end = ProcessEnd.of(child.pid)
    asking = threading.Thread(target=end._poll.poll, args=(30_000,))
    asking.start()
    with pytest.raises(RuntimeError, match="concurrent"):  # noqa: PT012 (until it is at it)
        while True:
            end._poll.poll(0)
    assert not end.ended
    child.kill()
    asking.join(30)
    assert end.ended
    end.close()


def test_a_process_that_is_not_there_has_ended(child):
    child.kill()
    child.communicate()
    assert ProcessEnd.of(child.pid).ended


def test_an_end_is_told_once(watcher, child):
    told = threading.Semaphore(0)
    end = ProcessEnd.of(child.pid)
    watcher.watch(end.descriptor, select.POLLIN, told.release)
    assert not told.acquire(blocking=False)
    child.kill()
    assert told.acquire(timeout=20)
    assert not told.acquire(blocking=False)
    end.close()


def test_data_on_a_connection_is_no_end(watcher):
    ours, theirs = socket.socketpair()
    told = threading.Event()
    watcher.watch(ours.fileno(), HUNG_UP, told.set)
    theirs.send(b"a notice")
    assert ours.recv(100) == b"a notice"
    assert not told.is_set()
    theirs.close()
    assert told.wait(20)
    ours.close()


def test_what_is_forgotten_is_not_told(watcher):
    pairs = [socket.socketpair() for _ in range(2)]
    told = [threading.Event(), threading.Event()]
    for (ours, _), event in zip(pairs, told, strict=True):
        watcher.watch(ours.fileno(), HUNG_UP, event.set)
    watcher.forget(pairs[0][0].fileno())
    for _, theirs in pairs:
        theirs.close()
    assert told[1].wait(20)
    assert not told[0].is_set()
    for ours, _ in pairs:
        ours.close()


def test_a_callback_that_fails_leaves_the_watcher_working(watcher, caplog):
    def fail():
        raise RuntimeError("no")

    pairs = [socket.socketpair() for _ in range(2)]
    told = threading.Event()
    for callback, (ours, theirs) in zip((fail, told.set), pairs, strict=True):
        watcher.watch(ours.fileno(), HUNG_UP, callback)
        theirs.close()
    assert told.wait(20)
    for ours, _ in pairs:
        ours.close()


def test_closing_ends_the_thread():
    watcher = Watcher()
    ours, theirs = socket.socketpair()
    before = set(threading.enumerate())
    watcher.watch(ours.fileno(), HUNG_UP, lambda: None)
    (thread,) = set(threading.enumerate()) - before
    watcher.close()
    thread.join(20)
    assert not thread.is_alive()
    ours.close()
    theirs.close()


def test_a_forked_child_has_nothing_to_watch(watcher):
    ours, theirs = socket.socketpair()
    watcher.watch(ours.fileno(), HUNG_UP, lambda: None)
    child = os.fork()
    if child == 0:
        watcher.watch(ours.fileno(), HUNG_UP, lambda: None)
        watcher.close()
        os._exit(len(threading.enumerate()) - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ours.close()
    theirs.close()
