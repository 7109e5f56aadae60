"""The check after each of our own tests fails those that leave something, and no others."""

import os
import subprocess
from pathlib import Path

import pytest


class Leaks:
    """Ways to leave something, for a run inside this process; all of it is taken away in the end."""

    def __init__(self):
        self.undo = []

    def child(self):
        process = subprocess.Popen(["sleep", "30"])
        self.undo += [process.wait, process.kill]

    def zombie(self):
        process = subprocess.Popen(["true"])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.undo.append(process.wait)

    def descriptor(self):
        number = os.open(__file__, os.O_RDONLY)
        self.undo.append(lambda: os.close(number))

    def directory(self):
        servers = Path(os.environ["FRESHPG_RUNTIME"], "freshpg-0", "servers")
        (servers / f"0123{len(list(servers.glob('*')))}").mkdir(parents=True)

    def nothing(self):
        with Path(__file__).open(encoding="utf-8"):
            subprocess.run(["true"], check=True)


NAMED = {"child": "process", "zombie": "zombie", "descriptor": __file__, "directory": "0123"}
SUITE = """
import pytest

KINDS = ["child", "zombie", "descriptor", "directory", "nothing"]

@pytest.fixture
def narrow(pytestconfig, request):
    getattr(pytestconfig.leaks, request.param)()

@pytest.fixture(scope="session")
def wide(pytestconfig, request):
    getattr(pytestconfig.leaks, request.param)()

@pytest.mark.parametrize("wide", KINDS, indirect=True)
def test_a_wide_fixture(wide):
    pass

@pytest.mark.parametrize("narrow", KINDS, indirect=True)
def test_a_narrow_fixture(narrow):
    pass
"""


@pytest.fixture
def outcomes(pytester, monkeypatch, tmp_path):
    """What became of each test of a suite whose fixtures leave things, run with the check."""
    monkeypatch.setenv("FRESHPG_RUNTIME", str(tmp_path))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr("tidiness.PATIENCE", 0)
    leaks = Leaks()

    class Give:
        @staticmethod
        def pytest_configure(config):
            config.leaks = leaks

    pytester.makepyfile(SUITE)
    done = pytester.inline_run("-p", "tidiness", "-p", "no:cacheprovider", plugins=[Give()])
    yield {
        (name.split("_")[2], name.partition("[")[2].rstrip("]")): str(report.longrepr or "")
        for report in done.getreports("pytest_runtest_logreport")
        if report.when == "teardown" and (name := report.nodeid.rpartition("::")[2])
    }
    while leaks.undo:
        leaks.undo.pop()()


def test_what_a_test_leaves_fails_it_and_what_a_wider_fixture_made_does_not(outcomes):
    assert {kind: outcomes["wide", kind] for kind in (*NAMED, "nothing")} == dict.fromkeys(
        (*NAMED, "nothing"), ""
    )
    assert outcomes["narrow", "nothing"] == ""
    for kind, name in NAMED.items():
        assert "left behind" in outcomes["narrow", kind], kind
        assert name in outcomes["narrow", kind]
