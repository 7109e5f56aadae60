"""``--pg-resume`` takes up an interrupted run: what passed and has not changed is left out."""

import json
import os
import signal

import pytest

TESTS = """
import os, signal

def ran(name):
    with open("ran", "a") as file: file.write(name + "\\n")

def test_1(): ran("1")
def test_2(pg): ran("2")
def test_3(pg): ran("3"); assert os.path.exists("mended")
def test_4():
    ran("4")
    if not os.path.exists("mended"):
        INTERRUPT
def test_5(pg): ran("5")
"""
KILLED = TESTS.replace("INTERRUPT", "os.kill(os.getpid(), signal.SIGKILL)")
STOPPED = TESTS.replace("INTERRUPT", "pytest.exit('stop')")


@pytest.fixture
def ran(suite):
    """Which tests ran since the last look."""

    def look():
        path = suite.path / "ran"
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(found)

    return look


@pytest.fixture
def records(suite):
    """Names of the records there are."""
    return lambda: [path.name for path in suite.path.glob(".freshpg/runs/*")]


def test_a_killed_run_is_taken_up_where_it_stopped(suite, ran, records):
    suite.tests(KILLED)
    assert suite.run_apart().exit_code == -signal.SIGKILL
    assert ran() == ["1", "2", "3", "4"]
    suite.write("mended", "")
    outcome = suite.run("--pg-resume")
    assert ran() == ["3", "4", "5"]
    assert outcome.counts == {"passed": 3, "deselected": 2}
    assert ": 2 that passed left out\n" in outcome.text
    assert records() == []
    outcome = suite.run("--pg-resume")
    assert outcome.counts == {"passed": 5}
    assert "no interrupted run of these tests is known" in outcome.text


@pytest.mark.slow
def test_workers_leave_out_the_same_tests(suite, ran, records):
    suite.tests(
        """
import os, signal
from test_it import ran

@pytest.mark.parametrize("turn", range(6))
def test_many(pg, turn): ran(f"many{turn}")

def test_kill():
    if not os.path.exists("mended"): os.kill(os.getppid(), signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)
""",
        "test_more.py",
    )
    suite.tests(KILLED)
    suite.write("conftest.py", "import sys; sys.path.insert(0, '.')")
    assert suite.run_apart("-n2", "test_more.py").exit_code == -signal.SIGKILL
    before = ran()
    (name,) = records()
    lines = (suite.path / ".freshpg" / "runs" / name).read_text().splitlines()[1:]
    passed = {json.loads(line)["id"].partition("[")[2][:1] for line in lines}
    suite.write("mended", "")
    outcome = suite.run_apart("-n2", "test_more.py", "--pg-resume")
    assert outcome.exit_code == 0, outcome.text
    assert outcome.counts["passed"] == 7 - len(passed)
    assert set(ran()) == {f"many{turn}" for turn in range(6)} - {f"many{turn}" for turn in passed}
    assert len(before) >= len(passed)
    assert records() == []


@pytest.mark.slow
def test_a_run_interrupted_again_keeps_what_the_first_one_did(suite, ran, records):
    suite.tests(STOPPED)
    suite.run()
    suite.run("--pg-resume")
    assert ran() == ["1", "2", "3", "3", "4", "4"]
    suite.write("mended", "")
    assert suite.run("--pg-resume").counts == {"passed": 3, "deselected": 2}


@pytest.mark.parametrize(
    "change, again",
    [
        (("test_it.py", STOPPED + "\n# changed"), ["1", "2"]),
        pytest.param(("conftest.py", "# new"), ["1", "2"], marks=pytest.mark.slow),
        (("schema.sql", "CREATE TABLE item (id int);"), ["2"]),
        pytest.param(("freshpg.toml", 'isolation = "clone"\n'), ["2"], marks=pytest.mark.slow),
        (("elsewhere.py", "# code under test"), []),
    ],
)
def test_what_has_changed_since_is_run_again(suite, ran, change, again):
    suite.tests(STOPPED)
    suite.run()
    ran()
    name, text = change
    if name == "test_it.py":
        text = f"import pytest\n{text}"
    if name == "freshpg.toml":
        text += (suite.path / name).read_text()
    suite.write(name, text)
    suite.write("mended", "")
    suite.run("--pg-resume")
    assert ran() == sorted([*again, "3", "4", "5"])


def test_a_stop_and_the_first_failure_interrupt_a_run_too(suite, ran):
    suite.tests(STOPPED)
    assert suite.run().exit_code == pytest.ExitCode.INTERRUPTED
    ran()
    assert suite.run("-x", "--pg-resume").counts == {"failed": 1, "deselected": 2}
    assert ran() == ["3"]
    suite.write("mended", "")
    assert suite.run("--pg-resume").counts == {"passed": 3, "deselected": 2}


def test_a_completed_run_and_one_of_other_tests_leave_no_record_and_touch_no_other(
    suite, ran, records
):
    suite.tests(STOPPED)
    suite.tests("def test_it(pg): pass", "test_other.py")
    suite.run("test_it.py")
    (name,) = records()
    suite.run("test_other.py")
    assert records() == [name]
    assert "no interrupted run" in suite.run("test_other.py", "--pg-resume").text
    suite.run("--collect-only", "test_it.py", "--pg-resume")
    assert records() == [name]
    suite.write("mended", "")
    suite.run("test_it.py")
    assert records() == []
    assert not (suite.path / ".freshpg").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_is_not_taken_for_an_interrupted_one(suite, kill_group):
    suite.tests("""
import signal

def test_1(pg): pass
def test_2(): print("stuck", flush=True); signal.pause()
""")
    process = suite.start_apart("-s", "--pg-resume")
    kill_group(process)
    for line in process.stdout:
        if "stuck" in line:
            break
    assert "no interrupted run" in suite.run("--pg-resume", "--deselect=test_it.py::test_2").text
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert (
        ": 1 that passed left out" in suite.run("--pg-resume", "--deselect=test_it.py::test_2").text
    )


def test_nothing_left_to_run_is_no_failure(suite):
    suite.write(
        "conftest.py",
        """
import os, signal, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if not os.path.exists("mended"): os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    suite.tests("def test_1(pg): pass")
    assert suite.run_apart().exit_code == -signal.SIGKILL
    suite.write("mended", "")
    outcome = suite.run("--pg-resume")
    assert (outcome.exit_code, outcome.counts) == (0, {"deselected": 1}), outcome.text


def test_a_cut_record_and_one_that_is_none_are_no_failure(suite, ran, records):
    suite.tests(STOPPED)
    suite.run()
    ran()
    path = suite.path / ".freshpg" / "runs" / records()[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    suite.write("mended", "")
    suite.run("--pg-resume")
    cut = ran()
    assert "4" in cut
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\xfe not a record")
    assert "no interrupted run" in suite.run("--pg-resume").text


def test_a_project_without_settings_gets_no_record(suite):
    (suite.path / "freshpg.toml").unlink()
    suite.tests("def test_1(): pass\ndef test_2(): pytest.exit('stop')")
    suite.run()
    assert not (suite.path / ".freshpg").exists()
