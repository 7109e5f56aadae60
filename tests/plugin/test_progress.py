"""Whoever waits long is told what for."""

import os
import re
from contextlib import contextmanager

import pytest

from freshpg.core.events import CloneMade
from freshpg.core.events import Progress as Said
from freshpg.pytest_plugin.progress import Progress


@contextmanager
def terminal():
    """What is written to standard error, whatever pytest captures."""
    read, write = os.pipe()
    saved = os.dup(2)
    os.dup2(write, 2)
    try:
        yield lambda: os.read(read, 4096).decode()
    finally:
        os.dup2(saved, 2)
        for end in (read, write, saved):
            os.close(end)


def test_a_long_wait_says_the_latest_and_then_every_line():
    with terminal() as shown:
        progress = Progress("gw1", terminal=os.dup(2), patience=0.0)
        progress.take(Said("before the wait"))
        with progress.watched():
            progress.take(Said("building"))
            assert shown() == "\nfreshpg gw1: building\n"
            progress.take(CloneMade("shop_test", 0.1, waited_for=True))
            progress.take(Said("sealing"))
            assert shown() == "\nfreshpg gw1: sealing\n"
        progress.close()


def test_a_short_wait_says_nothing():
    with terminal() as shown:
        progress = Progress("", terminal=os.dup(2), patience=30.0)
        with progress.watched():
            progress.take(Said("building"))
        progress.take(Said("afterwards"))
        os.write(2, b"end")
        assert shown() == "end"
        progress.close()
        progress.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_a_slow_build_is_seen_on_the_terminal(suite, workers):
    suite.write(
        "freshpg.toml", '[databases.main]\nname = "shop_test"\nmigrations = ["schema.sql"]\n'
    )
    suite.write("schema.sql", f"SELECT pg_sleep(2), '{len(workers)}';")
    suite.tests("def test_it(pg): pass")
    label = "freshpg gw0" if workers else "freshpg"
    text = suite.run_apart(*workers).text
    assert re.search(rf"^{label}: .*template of", text, re.MULTILINE), text
